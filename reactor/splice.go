package reactor

import "errors"

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
	c, err := h.open()
	if err != nil {
		return 0, readError(c, err)
	}
	if to.c != nil && to.c.loop != c.loop {
		return 0, c.wrap("splice", errOtherLoop)
	}
	if err := h.awaitInput(h.spliceNext()); err != nil {
		return 0, err
	}
	if size := int64(c.in.next.size()); limit >= 0 && limit < size {
		c.first() // a pipe is sent as a whole
	} else {
		limit = size
	}
	in := c.take()
	size := in.size()
	c.noteSize(size)
	c.more().splices++
	defer func() { h.settle(in, size-n) }() // sending may end in Goexit
	if in.piped != 0 {
		return to.sendPiped(in)
	}
	return to.Write(in.data[:limit])
}

// settle frees a chunk that was taken, of which a number of bytes are left, or puts those back.
func (h Conn) settle(in *chunk, left int) {
	c := h.c
	l := c.loop
	switch {
	case l.broken: // perhaps while the Send is in flight: the loan ends with the backend
		return
	case c.closing || c.generation-h.generation > 1: // or it was closed; Shared, too, adds 1
		l.giveBack(in)
		return
	}
	c.rare.splices--
	switch {
	case left == 0:
		l.giveBack(in)
		if c.generation != h.generation {
			c.readers.wakeFirst() // the task of a SharedConn, which waits for that
		}
	case in.piped != 0:
		in.piped = uint32(left)
		in.own(l)
		c.putBack(in)
	default:
		in.data = in.data[len(in.data)-left:]
		c.putBack(in)
	}
}

// spliceNext reports whether the next bytes are to be received in a pipe. Then it ends a receive that is in flight. If
// memory is short no pipe is used, for its bytes may have to be moved there.
func (h Conn) spliceNext() bool {
	c := h.c
	if c == nil || c.generation != h.generation || c.rare == nil || c.rare.bulk < bulkAfter || !c.loop.caps.Pipes ||
		c.loop.input.tight() {
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

// putBack makes a chunk that was taken the first to be read again, by whoever waits for some.
func (c *conn) putBack(in *chunk) {
	c.loop.letGo(in)
	c.linkFirst(in)
	c.markUnread()
	if !c.readers.empty() {
		c.readers.wakeFirst()
	} else {
		c.due()
	}
}
