package reactor

import (
	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
)

// Close ends the connection. What was written is sent first, for no longer than the linger time (WithLinger), and
// Close waits for that, as long as the task is not canceled, to report what it meets; where nothing is left to be
// sent it does not wait. Bytes that nobody has read are dropped, which may tell the peer of a reset (RFC 1122,
// 4.2.2.13). Whoever else waits for the connection gets ErrClosed; a large Write that is under way ends early, with
// what it has sent. The descriptor is closed when its last operation has ended. A second Close is an error that wraps
// ErrClosed.
func (h Conn) Close() error {
	c := h.c
	if c == nil || c.generation != h.generation {
		return opErrorClosed("close")
	}
	if c.loop.elsewhere() {
		return c.wrap("close", errWrongGoroutine)
	}
	c.close()
	t := c.loop.running
	if t == nil {
		return c.wrap("close", c.closeError()) // a posted function cannot wait
	}
	closing := Conn{c, c.generation}
	for !c.shutting && !t.canceled {
		c.writers.wait(t)
		if c.generation != closing.generation {
			return nil
		}
	}
	return c.wrap("close", c.closeError())
}

// closeError is what sending met.
func (c *conn) closeError() error {
	if err := c.writeErr(); err != ErrClosed {
		return err
	}
	return ErrDeadline // the linger time was over
}

// close makes every handle stale, wakes whoever waits, and begins to end the connection.
func (c *conn) close() {
	l := c.loop
	c.generation++
	c.closing = true
	c.clearDeadlines()
	c.returnLent()
	c.dropInput()
	c.readers.release(l)
	c.writers.release(l)
	c.push()
	if c.direct { // its writer gets ErrClosed, and what was gathered behind it would leave a hole before it
		l.backend.Cancel(c.out.token)
		if c.gathered() > 0 {
			c.more().writeErr = ErrCanceled // for Close to tell
			c.dropOutput()
		}
	}
	if c.sending {
		l.setTimer(&c.more().linger, (*lingerer)(c), l.after(l.opt.linger))
	}
	c.shutDown()
}

// lingerer is a connection whose linger time is over.
type lingerer conn

func (e *lingerer) expire(*Loop) {
	c := (*conn)(e)
	c.dropOutput()
	if c.writeErr() == nil {
		c.more().writeErr = ErrDeadline // for Close, which returns before the send has ended
	}
	c.submitClose()
}

// shutDown has the descriptor closed once nothing is left to be sent.
func (c *conn) shutDown() {
	if !c.sending && c.gathered() == 0 {
		c.submitClose()
	}
}

func (c *conn) submitClose() {
	if c.shutting {
		return
	}
	c.shutting = true
	if c.rare != nil {
		c.loop.timers.Stop(&c.rare.linger)
	}
	c.writers.wake(c.loop)
	c.loop.submit(backend.Op{Kind: backend.Close, FD: int(c.fd), Sink: (*closer)(c)})
}

// closer is a connection as the sink of its Close, whose completion is the last for it.
type closer conn

// Complete implements backend.Sink.
func (e *closer) Complete(*backend.Completion) {
	c := (*conn)(e)
	l := c.loop
	l.open--
	l.freeConn(c)
}

// freeConn keeps a closed connection for later use. Its generation tells its old handles from new ones.
func (l *Loop) freeConn(c *conn) {
	if c.lazy {
		l.lazies--
	}
	c.readers.release(l)
	c.writers.release(l)
	c.dropOutput()
	c.freeOutput()
	if l.debug != nil {
		l.debug.closes(c)
	}
	if r := c.rare; r != nil {
		*r = rare{next: l.spareRare}
		l.spareRare = r
	}
	*c = conn{loop: l, fd: -1, generation: c.generation + 1, next: l.spareConns}
	l.spareConns = c
}

// closeAll ends what tasks have left open.
func (l *Loop) closeAll() {
	for _, ln := range l.listeners {
		ln.close()
	}
	for c := range l.conns.all() {
		if c.fd >= 0 && !c.closing {
			c.close()
		}
	}
}

// release ends the connection, if it is open, without waiting.
func (h Conn) release() {
	if h.c.generation == h.generation {
		h.c.close()
	}
}

// discard closes a descriptor that no connection has taken over.
func (l *Loop) discard(fd int) {
	if l.broken {
		unix.Close(fd)
		return
	}
	l.open++
	l.submit(backend.Op{Kind: backend.Close, FD: fd, Sink: (*discarder)(l)})
}

// discarder is a loop as the sink of what it discards.
type discarder Loop

// Complete implements backend.Sink.
func (d *discarder) Complete(*backend.Completion) { (*Loop)(d).open-- }
