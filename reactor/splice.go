package reactor

import (
	"errors"

	"github.com/eyewall/eyewall/backend"
)

// Pieces that are sent on are received in pipes once bulkAfter of them were large, until one is small: a pipe saves
// copying what is in it twice, and costs two system calls, which is about what copying 40 KiB costs.
const (
	bulkAfter = 2
	bulkSize  = 40 << 10 // bytes: what makes a piece large
	smallSize = 16 << 10 // bytes: what makes it small
)

var errOtherLoop = errors.New("the connection that it is to go to belongs to another loop; it must be one of the same")

// Splice waits until something has arrived and sends it on to another connection of the same loop; it returns how many
// bytes that were. Large amounts are not copied where the system can do without: see splice(2). Few bytes are gathered
// as Write gathers them; for many it waits until they are sent. At the end of the stream the error is io.EOF. Where
// sending fails, or is ended early by a deadline or the task's cancellation, bytes that were not sent are still there to
// be read. WriteTo sends on all that comes.
func (h Conn) Splice(to Conn) (int, error) { return h.splice(to, -1) }

// splice sends on no more than limit bytes, unless that is negative.
func (h Conn) splice(to Conn, limit int64) (n int, err error) {
	c := h.c
	if c != nil && c.generation == h.generation && to.c != nil && to.c.loop != c.loop {
		return 0, c.wrap("splice", errOtherLoop)
	}
	if err := h.awaitInput(h.spliceNext()); err != nil {
		return 0, err
	}
	in := c.in
	if limit >= 0 && limit < int64(in.size()) {
		in = c.first()
	} else {
		limit = int64(in.size())
	}
	taken := *in
	c.noteSize(taken.size())
	c.consumed(taken.size())
	defer func() { h.settle(&taken, n) }() // sending may end in Goexit
	if taken.piped != 0 {
		return to.sendLent(taken.lease, taken.size())
	}
	return to.Write(taken.data[:limit])
}

// settle puts back what was not sent of a chunk that was taken, of which n bytes were.
func (h Conn) settle(taken *chunk, n int) {
	c := h.c
	l := c.loop
	switch rest := taken.size() - n; {
	case l.broken: // perhaps while the Send is in flight: the loan ends with the backend
		return
	case rest == 0 || c.closing || c.generation-h.generation > 1: // or it was closed; Shared, too, adds 1
	case taken.piped != 0:
		c.putBack(fetch(l, taken.lease, rest), 0)
	default:
		c.putBack(taken.data[n:], taken.lease)
		return
	}
	l.backend.Release(taken.lease)
}

// spliceNext tells whether what comes next is to be received in a pipe, and has the receive end that is in flight in its
// place.
func (h Conn) spliceNext() bool {
	c := h.c
	if c == nil || c.generation != h.generation || c.rare == nil || c.rare.bulk < bulkAfter || !c.loop.caps.Pipes {
		return false
	}
	c.pause()
	return true
}

// noteSize counts the large pieces since the last small one.
func (c *conn) noteSize(n int) {
	switch {
	case n < smallSize && c.rare != nil:
		c.rare.bulk = 0
	case n >= bulkSize:
		r := c.more()
		r.bulk = min(r.bulk+1, bulkAfter)
	}
}

// sendLent sends the bytes that are lent in a pipe, after what was gathered, and waits until all are sent.
func (h Conn) sendLent(lease backend.Lease, size int) (int, error) {
	c, t, err := h.enter()
	if err != nil {
		return 0, writeError(c, err)
	}
	if c.loop.elsewhere() {
		return 0, writeError(c, errWrongGoroutine)
	}
	return h.send(t, size, backend.Op{Kind: backend.Send, Lease: lease})
}

// putBack makes bytes the first to be read again, by whoever waits for some.
func (c *conn) putBack(data []byte, lease backend.Lease) {
	in := c.loop.newChunk(data, lease)
	in.next, c.in = c.in, in
	c.inBytes += uint32(len(data))
	c.markUnread()
	if c.readers.head != nil {
		c.readers.wake(c.loop)
	} else {
		c.due()
	}
}

// unpipe moves what is in a pipe to memory.
func (in *chunk) unpipe(l *Loop) {
	in.data = fetch(l, in.lease, int(in.piped))
	l.backend.Release(in.lease)
	in.lease, in.piped = 0, 0
}

// fetch takes n bytes out of a pipe.
func fetch(l *Loop, lease backend.Lease, n int) []byte {
	p := make([]byte, n)
	return p[:l.backend.Fetch(lease, p)]
}
