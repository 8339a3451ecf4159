package reactor

import (
	"io"

	"github.com/eyewall/eyewall/backend"
)

// Next waits until something has arrived and lends it: the bytes are the caller's, to change even, until the connection
// is next read or closed, or Release is called. If another task does that, they stay the caller's until it reads the
// connection again, or ends. At the end of the stream the error is io.EOF. Everything that arrived before an error
// comes before it.
//
// The bytes lie in a receive buffer, which all connections of the loop share. Tasks may hold a quarter of these buffers
// while they wait for something else. If others hold that many, Next lends a copy instead, so that they keep nobody from
// receiving. Both are right at any time; copying costs time and memory.
func (h Conn) Next() ([]byte, error) {
	if err := h.awaitInput(false); err != nil {
		return nil, err
	}
	c := h.c
	c.first()      // which may be in a pipe
	c.returnLent() // another reader may have got some while this one waited
	c.lent = c.take()
	return c.lent.data, nil
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
			c.in.bytes -= uint32(moved)
			c.took = true
			c.markUnread()
			c.readers.wakeFirst()
			break
		}
		c.loop.drop(c.pop())
	}
	return n, nil
}

// awaitInput takes back the bytes that Next has lent and waits until there is a chunk and it is this task's turn to read.
// The task that has waited longest reads first. An idle task has its frame, and those below it, on a stack that is cold by
// the time it goes on: they are kept few and small, and calls that are rare are made from elsewhere. inPipe says that the
// bytes are only to be sent on.
func (h Conn) awaitInput(inPipe bool) error {
	c, t, err := h.enter()
	if err != ErrWrongGoroutine {
		h.endLate()
	}
	if err != nil {
		return readError(c, err)
	}
	c.returnLent()
	for waited := false; ; waited = true {
		// Input that came before the deadline beats it. A handler that was called for input counts as having waited.
		if c.in != nil && c.readers.serves(&t.turn) && (waited || !c.readExpired() || c.calling && !c.took) {
			t.turn.leave()
			return nil
		}
		if err := c.noInput(t, inPipe); err != nil {
			return readError(c, err)
		}
		if !waited {
			c.readers.push(&t.turn)
		}
		t.park()
		if c.generation != h.generation {
			return h.closedError("read")
		}
	}
}

// noInput returns why t must not wait for input, after t has left the queue. If it may wait, there is a receive in
// flight.
//
//go:noinline
func (c *conn) noInput(t *task, inPipe bool) error {
	var err error
	canceled := false
	switch {
	case c.readExpired():
		err = ErrDeadline
		c.rare.read.news = false
	case c.in == nil && c.readErr() != nil:
		if err = c.readErr(); c.rare != nil && err == c.rare.writeErr {
			c.rare.told = true
		}
	case t.canceled:
		err, canceled = t.cause(), true
	default:
		if c.in == nil {
			c.receive(inPipe)
		}
		return nil
	}
	if t.turn.leave(); c.in != nil { // it came while t waited, so that nobody has marked it
		c.markUnread()
	}
	if c.in != nil || !c.receiving { // t may have been woken for that, and leaves it to the next
		c.readers.wakeFirst()
	}
	if canceled {
		t.giveWay()
	}
	return err
}

// receive sees to it that a receive is in flight, or will be: one for all that comes, or one piece at a time if that goes
// to a pipe or memory is short.
func (c *conn) receive(inPipe bool) {
	if c.receiving || c.readErr() != nil {
		return
	}
	c.receiving = true
	op := backend.Op{Kind: backend.Recv, Multishot: !c.loop.input.tight(), FD: int(c.fd), Sink: (*receiver)(c)}
	if inPipe {
		op.Kind, op.Multishot, op.Sink = backend.Splice, false, (*pipeReceiver)(c)
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
		switch over := done.Err == nil || paused && done.Err == ErrCanceled; {
		case over && c.rare != nil && c.rare.cut:
			c.rare.readErr = c.rare.writeErr
		case over:
		case done.Err == io.EOF && c.writeErr() != nil && !c.rare.told: // nobody may take it for a good end
			c.rare.readErr = c.rare.writeErr
		case done.Err == io.EOF:
			c.eof = true
		default:
			c.more().readErr = done.Err
		}
	}
	switch {
	case !c.readers.empty():
		c.tellReaders()
	case c.in != nil || c.readErr() != nil:
		c.due()
	case !c.receiving && c.lazy && !c.calling && !c.closing: // all was read before the pause began
		c.receive(false)
	}
}

// tellReaders wakes the first task that waits for input if there is some, or if it has to receive anew, and all of them
// if no more will come.
func (c *conn) tellReaders() {
	switch {
	case c.in == nil && c.readErr() != nil:
		c.readers.wakeAll()
	case c.in != nil || !c.receiving:
		c.readers.wakeFirst()
	}
}

// append puts received bytes behind those that are unread. A connection has maxUnread of these, and the rest of the
// piece that exceeds it; if memory is short it has none for which nobody waits. Then it stops receiving, and TCP
// holds the peer back.
func (c *conn) append(done *backend.Completion) {
	l := c.loop
	in := l.newChunk(done.Data, done.Lease)
	if done.Data == nil {
		in.piped = uint32(done.N)
	}
	c.link(in)
	c.touched = true
	l.stats.Received += uint64(done.N)
	most := maxUnread
	if c.readers.empty() && !(c.lazy && !c.calling) {
		c.markUnread()
		if l.input.tight() {
			most = 0
		}
	}
	if c.unread() > most && c.receiving && !c.pausing {
		l.stats.ReadPauses++
		c.pause()
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
