package reactor

import (
	"io"
	"time"

	"github.com/eyewall/eyewall/backend"
)

const (
	// maxUnread bounds what a connection receives before somebody reads it. Beyond that it stops receiving, and TCP
	// holds the peer back.
	maxUnread = 256 << 10
	// maxKeep bounds how long received bytes that nobody reads keep a shared receive buffer from being used again; then
	// they are copied out of it.
	maxKeep = 10 * time.Millisecond
)

// chunk is received bytes.
type chunk struct {
	data  []byte
	lease backend.Lease // zero once they are copied out of the receive buffer
	piped uint32        // how many are in a pipe, under lease; data is nil then
	next  *chunk
}

func (in *chunk) size() int { return len(in.data) + int(in.piped) }

// first is the first chunk, which there is, in memory.
func (c *conn) first() *chunk {
	if c.in.piped != 0 {
		c.in.unpipe(c.loop)
	}
	return c.in
}

// Next waits until something has arrived and lends it, without a copy: the bytes are the caller's, to change even,
// until the connection is next read or closed. Keep them no longer than needed, for they hold a receive buffer that
// all connections of the loop share. At the end of the stream the error is io.EOF. Everything that arrived before an
// error comes before it.
func (h Conn) Next() ([]byte, error) {
	if err := h.awaitInput(false); err != nil {
		return nil, err
	}
	c := h.c
	in := c.first()
	data := in.data
	c.returnLent() // what another reader got while this one waited
	c.lent = in.lease
	if d := c.loop.debug; d != nil {
		d.lends(c, data)
	}
	c.consumed(len(data))
	return data, nil
}

// Read reads what has arrived, at least one byte, waiting until there is one. See Next for what it returns at the end,
// and io.Reader.
func (h Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		c, _, err := h.enter()
		return 0, readError(c, err)
	}
	if err := h.awaitInput(false); err != nil {
		return 0, err
	}
	c := h.c
	n := 0
	for n < len(p) && c.in != nil {
		in := c.first()
		moved := copy(p[n:], in.data)
		n += moved
		if moved < len(in.data) {
			in.data = in.data[moved:]
			c.inBytes -= uint32(moved)
			c.touched = true
			c.markUnread()
			break
		}
		lease := in.lease
		c.consumed(moved)
		c.loop.backend.Release(lease)
	}
	return n, nil
}

// awaitInput takes back what Next has lent and waits until there is a chunk. An idle task has its frame, and those below
// it, on a stack that is cold by the time it goes on: they are kept few and small, and what they rarely call apart. In a
// pipe says that the bytes are only to be sent on.
func (h Conn) awaitInput(inPipe bool) error {
	c, t, err := h.enter()
	if err != nil {
		return readError(c, err)
	}
	if c.loop.elsewhere() {
		return readError(c, errWrongGoroutine)
	}
	c.returnLent()
	for c.in == nil || c.readExpired() {
		if err := c.noInput(t, inPipe); err != nil {
			return readError(c, err)
		}
		c.readers.push(t)
		t.park()
		c.readers.remove(t)
		if c.generation != h.generation {
			return opErrorClosed("read")
		}
	}
	return nil
}

// noInput returns why t must not wait for input; if it may, there is a receive in flight.
//
//go:noinline
func (c *conn) noInput(t *task, inPipe bool) error {
	var err error
	switch {
	case c.readExpired():
		err = ErrDeadline
	case c.readErr() != nil:
		return c.readErr()
	case t.canceled:
		h := c.handle()
		if err = t.refused(); c.generation != h.generation {
			return err
		}
	default:
		c.receive(inPipe)
		return nil
	}
	if c.in != nil { // which came while t waited, so that nobody has marked it
		c.markUnread()
	}
	return err
}

// receive sees to it that a receive is in flight, or will be: one after the other into pipes, or one for all that comes.
func (c *conn) receive(inPipe bool) {
	if c.receiving || c.readErr() != nil {
		return
	}
	c.receiving = true
	op := backend.Op{Kind: backend.Recv, Multishot: true, FD: int(c.fd), Sink: (*receiver)(c)}
	if inPipe {
		op.Kind, op.Multishot = backend.Splice, false
	}
	c.recvToken = c.loop.submit(op)
}

// pause ends the receive that is in flight.
func (c *conn) pause() {
	if c.receiving && !c.pausing {
		c.pausing = true
		c.loop.backend.Cancel(c.recvToken)
	}
}

// receiver is a connection as the sink of its receive.
type receiver conn

// Complete implements backend.Sink.
func (r *receiver) Complete(done *backend.Completion) {
	c := (*conn)(r)
	l := c.loop
	c.receiving = done.More
	if done.N > 0 {
		if c.closing {
			l.backend.Release(done.Lease)
		} else {
			c.append(done)
		}
	}
	if !done.More {
		c.touched = true
		paused := c.pausing
		c.pausing = false
		switch {
		case done.Err == nil || paused && done.Err == ErrCanceled:
		case done.Err == io.EOF:
			c.eof = true
		default:
			c.more().readErr = done.Err
		}
	}
	switch {
	case c.readers.head != nil:
		c.readers.wake(l)
	case c.in != nil || c.readErr() != nil:
		c.due()
	case !c.receiving && c.lazy && !c.calling && !c.closing: // all was read before the pause began
		c.receive(false)
	}
}

// append puts received bytes at the end of what is unread.
func (c *conn) append(done *backend.Completion) {
	at := &c.in
	for *at != nil {
		at = &(*at).next
	}
	*at = c.loop.newChunk(done.Data, done.Lease)
	if done.Data == nil {
		(*at).piped = uint32(done.N)
	}
	c.inBytes += uint32(done.N)
	c.touched = true
	c.loop.stats.Received += uint64(done.N)
	if c.readers.head == nil && !(c.lazy && !c.calling) {
		c.markUnread()
	}
	if c.inBytes > maxUnread && c.receiving && !c.pausing {
		c.loop.stats.ReadPauses++
		c.pause()
	}
}

// consumed takes out the first chunk, of which n bytes were left. Its lease is the caller's.
func (c *conn) consumed(n int) {
	in := c.in
	c.in = in.next
	c.inBytes -= uint32(n)
	c.touched = true
	c.loop.freeChunk(in)
	if c.in != nil {
		c.markUnread()
	}
}

// returnLent takes back what Next has lent. Debug mode poisons also what lies in no receive buffer any more.
func (c *conn) returnLent() {
	if c.lent != 0 || c.loop.debug != nil {
		c.release()
	}
}

func (c *conn) release() {
	l := c.loop
	if l.debug != nil {
		l.debug.takesBack(c)
	}
	if c.lent != 0 {
		l.backend.Release(c.lent)
		c.lent = 0
	}
}

// dropInput forgets what is unread.
func (c *conn) dropInput() {
	for c.in != nil {
		lease := c.in.lease
		c.consumed(c.in.size())
		c.loop.backend.Release(lease)
	}
}

// readError is what a call that reads returns for err.
//
//go:noinline
func readError(c *conn, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return c.wrap("read", err)
}
