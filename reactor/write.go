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
	if c.loop.elsewhere() {
		return 0, writeError(c, errWrongGoroutine)
	}
	if len(p) >= directSize || c.gathered()+len(p) > corkLimit || c.writeErr() != nil || c.shut || c.writeExpired() {
		if len(p) < directSize {
			return h.writeSlow(t, p)
		}
		return h.send(t, len(p), backend.Op{Kind: backend.Send, Buf: p})
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
	if c.loop.elsewhere() {
		return 0, writeError(c, errWrongGoroutine)
	}
	size := 0
	for _, b := range bufs {
		size += len(b)
	}
	if size >= directSize {
		return h.send(t, size, backend.Op{Kind: backend.Send, Bufs: bufs})
	}
	if err := h.awaitRoom(t, size); err != nil {
		return 0, writeError(c, err)
	}
	for _, b := range bufs {
		c.gather(b)
	}
	return size, nil
}

// Flush sends what was written, waits until the kernel has it all, and reports what sending met.
func (h Conn) Flush() error {
	c, t, err := h.enter()
	if err != nil {
		return writeError(c, err)
	}
	return writeError(c, h.flush(t))
}

// CloseWrite does what Flush does and then tells the peer that nothing more will come: the peer reads the end of the
// stream. Reading goes on. A second CloseWrite does nothing. See shutdown(2).
func (h Conn) CloseWrite() error {
	c, t, err := h.enter()
	if err != nil {
		return c.wrap("close", err)
	}
	if c.shut {
		return nil
	}
	if err := h.flush(t); err == ErrClosed {
		return opErrorClosed("close")
	} else if err != nil {
		return writeError(c, err)
	}
	c.shut = true
	return c.wrap("close", os.NewSyscallError("shutdown", unix.Shutdown(int(c.fd), unix.SHUT_WR)))
}

// CloseRead tells the system that nothing more is to be read: what has come can be, and then the end of the stream.
// Writing goes on. See shutdown(2).
func (h Conn) CloseRead() error {
	fd := h.FD()
	if fd < 0 {
		return opErrorClosed("close")
	}
	h.c.loop.elsewhere()
	return h.c.wrap("close", os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_RD)))
}

// gather copies p to what goes out next.
func (c *conn) gather(p []byte) {
	out := c.output()
	out.gathered = append(c.loop.buffers.grow(out.gathered, len(p)), p...)
	if !c.isDirty && !c.sending {
		c.isDirty = true
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// writeSlow gathers p once there is room for it.
func (h Conn) writeSlow(t *task, p []byte) (int, error) {
	if err := h.awaitRoom(t, len(p)); err != nil {
		return 0, writeError(h.c, err)
	}
	h.c.gather(p)
	return len(p), nil
}

// awaitRoom waits until n bytes can be gathered.
func (h Conn) awaitRoom(t *task, n int) error {
	return h.awaitWrite(t, func(c *conn) bool { return c.gathered()+n <= corkLimit })
}

// flush waits until nothing is left to be sent.
func (h Conn) flush(t *task) error {
	return h.awaitWrite(t, func(c *conn) bool { return !c.sending && c.gathered() == 0 })
}

// awaitWrite waits until the connection is as the writer needs it, seeing to it that what was gathered goes out.
func (h Conn) awaitWrite(t *task, fits func(*conn) bool) error {
	c := h.c
	if c.loop.elsewhere() {
		return errWrongGoroutine
	}
	for {
		switch {
		case c.writeErr() != nil:
			return c.writeErr()
		case c.shut:
			return unix.EPIPE
		case c.writeExpired():
			return ErrDeadline
		case fits(c):
			return nil
		}
		c.push()
		c.loop.stats.SendStalls++
		if err := h.wait(&c.writers, t); err != nil {
			return err
		}
	}
}

// send sends a writer's own bytes, op's, after what was gathered, and waits until all is sent.
func (h Conn) send(t *task, size int, op backend.Op) (int, error) {
	c := h.c
	if err := h.flush(t); err != nil {
		return 0, writeError(c, err)
	}
	if t.canceled {
		return 0, writeError(c, t.refused())
	}
	out := c.output()
	c.sending, c.direct = true, true
	if op.FD, op.Sink = int(c.fd), backend.Sink((*sender)(c)); op.File != nil {
		op.Sink = (*fileSender)(c)
	}
	token := c.loop.submit(op)
	out.token = token
	var cut error
	for c.direct && out.token == token { // for as long as the kernel may read the bytes, whatever else happens
		if cut == nil && (t.canceled || c.writeExpired()) {
			if cut = ErrDeadline; !c.writeExpired() {
				cut = t.cause()
			}
			c.loop.backend.Cancel(out.token)
		}
		c.writers.wait(t)
	}
	if c.generation != h.generation {
		if c.out == out { // else it is used for something else already
			return out.sent, opErrorClosed("write")
		}
		return 0, opErrorClosed("write")
	}
	sent := out.sent
	c.freeOutput()
	switch {
	case sent == size:
		return size, nil
	case c.writeErr() != nil:
		return sent, writeError(c, c.writeErr())
	}
	return sent, writeError(c, cut) // which stands, though the deadline may have been moved meanwhile
}

// push submits what was gathered, unless a send is in flight.
func (c *conn) push() {
	if c.sending || c.gathered() == 0 || c.writeErr() != nil {
		return
	}
	c.sending = true
	out := c.out
	out.flight, out.gathered = out.gathered, nil
	out.token = c.loop.submit(backend.Op{Kind: backend.Send, FD: int(c.fd), Buf: out.flight, Sink: (*sender)(c)})
}

// flushDirty submits what was written since the last time. The loop calls it, and not the task that wrote, whose stack
// stays small so.
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
	out.sent = done.N
	direct := c.direct
	c.direct = false
	if !direct {
		c.loop.buffers.put(out.flight)
		out.flight = nil
	}
	if done.Err != nil && !(direct && done.Err == ErrCanceled) { // canceled by the writer, who can tell how much was sent
		c.more().writeErr = done.Err
		c.dropOutput()
	}
	c.push()
	if !direct {
		c.freeOutput()
	}
	c.writers.wake(c.loop)
	if c.closing {
		c.shutDown()
	}
}

// dropOutput forgets what was gathered.
func (c *conn) dropOutput() {
	if c.gathered() > 0 {
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
