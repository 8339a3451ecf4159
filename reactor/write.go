package reactor

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
)

const (
	// corkLimit bounds what a connection gathers; a writer waits for room beyond it.
	corkLimit = largestBuffer
	// directSize is from where on bytes are sent from where they are rather than gathered: waiting costs less than
	// copying them.
	directSize = 16 << 10
)

// Write writes p. Small writes gather in the connection and go out in one piece when the running task next waits, or at
// Flush or Close; then a nil error says that they were taken, and one that sending them meets is reported by the next
// call that writes, and by Close. A write of 16 KiB or more goes out from p itself, and Write waits until it is sent.
// Write also waits while the peer does not take what was written before. p is the caller's again when Write returns.
func (h Conn) Write(p []byte) (int, error) {
	c, t, err := h.enter()
	if err != nil {
		return 0, writeError(c, err)
	}
	switch {
	case len(p) >= directSize:
		return h.send(t, len(p), backend.Op{Kind: backend.Send, Buf: p})
	case !c.mayGather(len(p)):
		return h.writeSlow(t, p)
	}
	c.gather(p)
	return len(p), nil
}

// Writev writes the buffers in order, as if they were one. Neither they nor the list may change until it returns.
func (h Conn) Writev(bufs [][]byte) (int, error) {
	c, t, err := h.enter()
	if err != nil {
		return 0, writeError(c, err)
	}
	size := 0
	for _, b := range bufs {
		size += len(b)
	}
	if size >= directSize {
		return h.send(t, size, backend.Op{Kind: backend.Send, Bufs: bufs})
	}
	if err := h.awaitTurn(t, size); err != nil {
		return 0, writeError(c, err)
	}
	for _, b := range bufs {
		c.gather(b)
	}
	c.tellWriters()
	return size, nil
}

// Flush sends the bytes that were written before it, waits until the kernel has them all, and reports an error that
// sending them meets.
func (h Conn) Flush() error {
	c, t, err := h.enter()
	if err == nil {
		err = h.flush(t)
	}
	return writeError(c, err)
}

// CloseWrite waits until the bytes that were written before it are sent, as Flush does, and then tells the peer that
// nothing more will come: the peer reads the end of the stream. Reading goes on. A second CloseWrite does nothing. See
// shutdown(2).
func (h Conn) CloseWrite() error {
	c, t, err := h.enter()
	if err != nil {
		return c.wrap("close", err)
	}
	if c.shut {
		return nil
	}
	switch err := h.awaitTurn(t, alone); {
	case err == ErrClosed:
		return h.closedError("close")
	case err == unix.EPIPE && c.shut: // another task's came first
		return nil
	case err != nil:
		return writeError(c, err)
	}
	c.shut = true
	if c.out != nil {
		c.out.wakeAll() // they are too late
		c.freeOutput()
	}
	return c.wrap("close", os.NewSyscallError("shutdown", unix.Shutdown(int(c.fd), unix.SHUT_WR)))
}

// CloseRead tells the system that nothing more is to be read: bytes that have come can be, and then the end of the
// stream. Writing goes on. See shutdown(2).
func (h Conn) CloseRead() error {
	c, err := h.open()
	if err == nil {
		err = os.NewSyscallError("shutdown", unix.Shutdown(int(c.fd), unix.SHUT_RD))
	}
	return c.wrap("close", err)
}

// gather copies p to the bytes that go out next.
func (c *conn) gather(p []byte) {
	if len(p) == 0 {
		return
	}
	out := c.output()
	out.gathered = append(c.loop.buffers.grow(out.gathered, len(p)), p...)
	out.written += uint64(len(p))
	if !c.isDirty && !c.sending {
		c.isDirty = true
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// mayGather reports whether a writer can gather n bytes at once: there is room, and no writer waits that came before.
func (c *conn) mayGather(n int) bool {
	if c.shut || c.rare != nil && (c.rare.writeErr != nil || c.rare.write.expired) {
		return false
	}
	return c.out == nil || len(c.out.gathered)+n <= corkLimit && c.out.writers.empty()
}

// writeSlow gathers p once there is room for it.
func (h Conn) writeSlow(t *task, p []byte) (int, error) {
	if err := h.awaitTurn(t, len(p)); err != nil {
		return 0, writeError(h.c, err)
	}
	h.c.gather(p)
	h.c.tellWriters()
	return len(p), nil
}

// alone, in place of a number of bytes, is the need of a writer that waits until everything is sent that was written
// before.
const alone = -1

// fits reports whether a writer whose turn it is can go on, which needs room for so many bytes.
func (c *conn) fits(need int) bool {
	if need == alone {
		return !c.sending && c.gathered() == 0
	}
	return c.gathered()+need <= corkLimit
}

// awaitTurn waits until t is the writer that has waited longest, and has what it needs. Then t has left the queue: it
// must do its work without waiting before that, and call tellWriters.
func (h Conn) awaitTurn(t *task, need int) error {
	c, w := h.c, &t.turn
	for waited := false; ; waited = true {
		mine := c.out == nil || c.out.writers.serves(w)
		var err error
		switch {
		case c.writeErr() != nil:
			err = c.toldWriteErr()
		case c.shut:
			err = unix.EPIPE
		case waited && mine && c.fits(need): // which beats a deadline that has passed since
			w.leave()
			return nil
		case c.writeExpired():
			err = ErrDeadline
		case mine && c.fits(need):
			return nil
		case t.canceled:
			err = t.cause()
		}
		if err != nil {
			return h.leaveTurn(t, err)
		}
		c.push()
		if !waited {
			c.loop.stats.SendStalls++
			w.n = int64(need)
			c.out.writers.push(w)
		}
		t.park()
		if c.generation != h.generation {
			return ErrClosed
		}
	}
}

// leaveTurn leaves the queue of writers, if t is in it, for that error.
func (h Conn) leaveTurn(t *task, err error) error {
	c := h.c
	if t.turn.queue != nil {
		t.turn.leave()
		c.tellWriters()
		c.freeOutput()
	}
	if t.canceled {
		t.giveWay()
	}
	return err
}

// flush waits until the bytes are sent that were written before.
func (h Conn) flush(t *task) error {
	c := h.c
	switch {
	case c.writeErr() != nil:
		return h.leaveTurn(t, c.toldWriteErr())
	case c.shut:
		return h.leaveTurn(t, unix.EPIPE)
	case c.writeExpired():
		return h.leaveTurn(t, ErrDeadline)
	case c.out == nil || c.out.done == c.out.written:
		return nil
	}
	c.push()
	c.loop.stats.SendStalls++
	c.out.awaitSent(t, c.out.written)
	for !t.turn.granted {
		switch {
		case c.generation != h.generation:
			return ErrClosed
		case c.writeExpired():
			return h.leaveTurn(t, ErrDeadline)
		case t.canceled:
			return h.leaveTurn(t, t.cause())
		}
		t.park()
	}
	return t.turn.outcome()
}

// send sends a writer's own bytes, op's, after those that were written before, and waits until all are sent.
func (h Conn) send(t *task, size int, op backend.Op) (int, error) {
	if err := h.awaitTurn(t, alone); err != nil {
		return 0, writeError(h.c, err)
	}
	return h.sendNow(t, size, op)
}

// sendNow is send once nothing is left to be sent. Op has a Sink if another than sender is to take the completion.
func (h Conn) sendNow(t *task, size int, op backend.Op) (int, error) {
	c := h.c
	if t.canceled {
		c.tellWriters()
		return 0, writeError(c, t.refused())
	}
	out, w := c.output(), &t.turn
	out.written += uint64(size)
	out.writer = w
	c.sending = true
	if op.FD = int(c.fd); op.Sink == nil {
		op.Sink = (*sender)(c)
	}
	out.token = c.loop.submit(op)
	c.tellWriters()
	var cut error
	var canceled backend.Token // the last one; the sink may go on with another
	for !w.granted {           // for as long as the kernel may read the bytes, whatever else happens
		expired := c.generation == h.generation && c.writeExpired()
		if out.token != canceled && (t.canceled || expired) {
			if cut == nil {
				if cut = ErrDeadline; !expired {
					cut = t.cause()
				}
			}
			canceled = out.token
			c.loop.backend.Cancel(canceled)
		}
		t.park()
	}
	w.granted = false
	sent := int(w.n)
	switch {
	case sent == size:
		return size, nil
	case c.generation != h.generation:
		return sent, h.closedError("write")
	case c.writeErr() != nil:
		return sent, writeError(c, c.toldWriteErr())
	}
	return sent, writeError(c, cut) // which stands, though the deadline may have been moved meanwhile
}

// push submits the gathered bytes, unless a send is in flight.
func (c *conn) push() {
	if c.sending || c.gathered() == 0 || c.writeErr() != nil {
		return
	}
	c.sending = true
	out := c.out
	out.flight, out.gathered = out.gathered, nil
	out.token = c.loop.submit(backend.Op{Kind: backend.Send, FD: int(c.fd), Buf: out.flight, Sink: (*sender)(c)})
}

// flushDirty submits the bytes that were written since the last time. The loop calls it, and not the task that wrote,
// whose stack stays small so.
func (l *Loop) flushDirty() {
	for i, c := range l.dirty {
		l.dirty[i] = nil
		c.isDirty = false
		c.push()
	}
	l.dirty = l.dirty[:0]
}

// sender is a connection as the sink of its sends.
type sender conn

// Complete implements backend.Sink.
func (s *sender) Complete(done *backend.Completion) {
	c := (*conn)(s)
	out := c.out
	c.sending = false
	c.loop.stats.Sent += uint64(done.N)
	w := out.writer
	if w != nil {
		out.writer = nil
		out.done = out.written - uint64(len(out.gathered)) // what is unsent of its bytes it is told
		w.n = int64(done.N)
		w.grant()
	} else {
		out.done += uint64(len(out.flight))
		if done.Err != nil {
			c.more().unsent += len(out.flight) - done.N
		}
		c.loop.buffers.put(out.flight)
		out.flight = nil
	}
	if done.Err != nil && !(w != nil && done.Err == ErrCanceled) { // canceled by the writer, who can tell how much was sent
		c.sendFailed(done.Err)
	}
	c.push()
	c.tellWriters()
	if c.closing {
		c.shutDown()
	}
	c.freeOutput()
}

// tellWriters wakes the tasks that can go on: the first that wants to write, if it has what it needs, and those whose
// bytes are sent.
func (c *conn) tellWriters() {
	out := c.out
	if out == nil {
		return
	}
	if w := out.writers.first(); w != nil && c.fits(int(w.n)) {
		out.writers.wakeFirst()
	}
	for w := out.flushers.first(); w != nil && uint64(w.n) <= out.done; w = out.flushers.first() {
		w.grant()
	}
}

// sendFailed ends all that has to do with writing. Bytes are lost, so that reading ends, too, with the same error after
// the input that is there: a task that only reads has to hear of it.
func (c *conn) sendFailed(err error) {
	r := c.more()
	if r.writeErr == nil {
		r.writeErr = err
	}
	c.dropOutput()
	c.out.writers.wakeAll()
	r.told = r.told || !c.out.flushers.empty()
	c.out.tellFlushers(r.writeErr)
	switch {
	case c.closing || c.readErr() != nil:
	case !c.unix && (err == unix.EPIPE || err == unix.ECONNRESET || err == unix.ETIMEDOUT): // the receive ends by itself
	case c.receiving:
		r.cut = true
		c.pause()
	default:
		r.readErr = err
		c.readers.wakeAll()
		c.due()
	}
}

// toldWriteErr is writeErr, for a caller that is told of it.
func (c *conn) toldWriteErr() error {
	c.rare.told = true
	return c.rare.writeErr
}

// dropOutput forgets the gathered bytes, which will not be sent.
func (c *conn) dropOutput() {
	if n := c.gathered(); n > 0 {
		c.more().unsent += n
		c.loop.buffers.put(c.out.gathered)
		c.out.gathered = nil
	}
}

func writeError(c *conn, err error) error {
	if err == nil {
		return nil
	}
	return c.wrap("write", err)
}
