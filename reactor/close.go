package reactor

import (
	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/sock"
)

// Close ends the connection. Bytes that were written are sent first, for no longer than the linger time (WithLinger).
// Close waits for that, unless the task is canceled, and returns the error that sending meets, or ErrDeadline once the
// linger time is over; if nothing is left to be sent it does not wait. If written bytes are not sent after all, a TCP
// peer gets a reset in place of the end of the stream, as with SO_LINGER of 0 (socket(7)), and an error that Close does
// not return goes to WithErrors as an *UnsentError.
//
// Bytes that nobody has read are dropped, of which a TCP peer may be told by a reset, too (RFC 1122, 4.2.2.13). Other
// tasks that wait for the connection get ErrClosed; a large Write that is under way ends early, and returns how many
// bytes it has sent. The descriptor is closed when its last operation has ended. A second Close is an error that wraps
// ErrClosed.
func (h Conn) Close() error {
	c, err := h.open()
	if err != nil {
		return c.wrap("close", err)
	}
	c.close()
	t := c.loop.running
	if t == nil {
		return c.wrap("close", c.closeError()) // a posted function cannot wait
	}
	if c.shutting || t.canceled {
		return c.wrap("close", c.closeError())
	}
	c.out.awaitSent(t, 1<<63-1)
	for !t.turn.granted {
		if t.canceled {
			t.turn.leave()
			return c.wrap("close", c.closeError())
		}
		t.park()
	}
	return c.wrap("close", t.turn.outcome())
}

// closeError is the error that sending has met so far, for a Close that is told of it.
func (c *conn) closeError() error {
	switch {
	case c.writeErr() == nil:
		return nil
	case c.toldWriteErr() == ErrClosed:
		return ErrDeadline // the linger time was over
	}
	return c.writeErr()
}

// close makes every handle stale, wakes the tasks that wait, and begins to end the connection.
func (c *conn) close() {
	l := c.loop
	c.returnLent() // of the handle that there is until now
	c.generation++
	c.closing = true
	c.clearDeadlines()
	c.readers.releaseAll()
	c.dropInput()
	c.releaseWriters()
	c.push()
	if c.out != nil && c.out.writer != nil {
		// The writer gets ErrClosed. Bytes that were gathered behind its own would leave a hole before them.
		l.backend.Cancel(c.out.token)
		if c.gathered() > 0 {
			c.lose(ErrCanceled)
		}
	}
	if c.sending {
		l.setTimer(&c.more().linger, (*lingerer)(c), l.after(l.opt.linger))
	}
	c.shutDown()
}

// releaseWriters wakes the tasks that wait for the output, which is none of theirs any more.
func (c *conn) releaseWriters() {
	if c.out != nil {
		c.out.writers.releaseAll()
		c.out.flushers.releaseAll()
	}
}

// lose drops the gathered bytes for that reason. Whatever sets writeErr does: they will not be sent.
func (c *conn) lose(why error) {
	if r := c.more(); r.writeErr == nil {
		r.writeErr = why
	}
	c.dropOutput()
}

// lingerer is a connection whose linger time is over.
type lingerer conn

func (e *lingerer) expire(*Loop) {
	c := (*conn)(e)
	c.lose(ErrDeadline)
	c.submitClose()
}

// shutDown has the descriptor closed once nothing is left to be sent.
func (c *conn) shutDown() {
	if !c.sending && c.gathered() == 0 {
		c.submitClose()
	}
}

// submitClose closes the descriptor. If written bytes are lost, the peer gets a reset: it would take the end of the
// stream for a clean one.
func (c *conn) submitClose() {
	if c.shutting {
		return
	}
	c.shutting = true
	if r := c.rare; r != nil {
		c.loop.timers.Stop(&r.linger)
		if r.writeErr != nil {
			sock.Linger(int(c.fd), true)
		}
	}
	if c.out != nil && !c.out.flushers.empty() { // they are those of Close
		c.out.tellFlushers(c.closeError())
	}
	c.loop.submit(backend.Op{Kind: backend.Close, FD: int(c.fd), Sink: (*closer)(c)})
}

// closer is a connection as the sink of its Close, whose completion is the last for it.
type closer conn

// Complete implements backend.Sink.
func (e *closer) Complete(*backend.Completion) {
	c := (*conn)(e)
	l := c.loop
	l.open--
	var lost error
	if r := c.rare; r != nil && r.unsent > 0 && !r.told {
		lost = c.wrap("write", &UnsentError{Bytes: r.unsent, Err: c.closeError()})
	}
	l.freeConn(c)
	if lost != nil {
		l.reportConn(lost)
	}
}

// freeConn keeps a closed connection for later use. Its generation tells its old handles from new ones.
func (l *Loop) freeConn(c *conn) {
	if c.lazy {
		l.lazies--
	}
	c.freeOutput()
	if l.debug != nil {
		l.debug.closes(c)
	}
	if r := c.rare; r != nil {
		*r = rare{next: l.spareRare}
		l.spareRare = r
	}
	c.connState = connState{fd: -1, generation: c.generation + 1, next: l.spareConns}
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
