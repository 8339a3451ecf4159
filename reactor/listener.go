package reactor

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/sock"
	"github.com/eyewall/eyewall/internal/timers"
)

const (
	// maxPending bounds the connections that are accepted and that no Accept has taken. Beyond that, accepting stops and
	// the rest wait in the system's listen queue; what the kernel accepts before it hears of that comes on top.
	maxPending = 128

	minRetry = 5 * time.Millisecond // after the first accept for which the system has no descriptor or memory
	maxRetry = time.Second          // after many in a row
)

// Listener accepts connections for a loop; Listen makes one. It implements net.Listener. Its methods, but Addr, are
// for tasks of its loop.
type Listener struct {
	loop *Loop
	fd   int
	addr net.Addr
	unix bool   // it listens on a Unix socket
	file string // the socket's, to be removed at its close; empty where it has none

	accepting bool // the multishot accept is in flight
	pausing   bool // and has been canceled, since too many are pending
	closed    bool
	leaving   bool // it closes when the accept has ended
	token     backend.Token
	pending   []int // accepted descriptors, the oldest first
	waiters   waitList
	err       error // why it accepts no more
	delay     time.Duration
	retry     timers.Timer[expirer]

	deadline timers.Timer[expirer] // ends Accept
	expired  bool                  // it has passed

	server *server // whose connections it accepts; nil where Accept takes them
}

// addListener makes ln the loop's.
func (l *Loop) addListener(ln *Listener) {
	ln.loop = l
	l.listeners = append(l.listeners, ln)
	l.open++
}

// Addr is the address that it listens on, a *net.TCPAddr or *net.UnixAddr. Any goroutine may call it.
func (ln *Listener) Addr() net.Addr { return ln.addr }

// FD is the listening descriptor. It stays the listener's.
func (ln *Listener) FD() int { return ln.fd }

// Accept is AcceptConn, for net.Listener. The net.Conn is a Conn.
func (ln *Listener) Accept() (net.Conn, error) {
	c, err := ln.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn waits for a connection. Where the system has no descriptor or memory for one it goes on waiting, and tells
// WithErrors. Once the listener is closed the error wraps ErrClosed, and once its deadline has passed, ErrDeadline.
func (ln *Listener) AcceptConn() (Conn, error) {
	if ln.loop.elsewhere() {
		return Conn{}, ln.wrap(errWrongGoroutine)
	}
	t := ln.loop.running
	if t == nil {
		return Conn{}, ln.wrap(ErrNotTask)
	}
	for {
		switch {
		case ln.closed && !t.canceled: // of a loop that ends, both are true
			return Conn{}, ln.wrap(ErrClosed)
		case ln.expired:
			return Conn{}, ln.wrap(ErrDeadline)
		case len(ln.pending) > 0:
			fd := ln.pending[0]
			ln.pending = ln.pending[:copy(ln.pending, ln.pending[1:])]
			return ln.loop.newAccepted(fd, ln.unix).handle(), nil
		case ln.err != nil:
			return Conn{}, ln.wrap(ln.err)
		}
		if err := t.refused(); err != nil {
			return Conn{}, ln.wrap(err)
		}
		ln.accept()
		ln.waiters.wait(t)
	}
}

// Close stops listening. Connections that no Accept has taken are closed, and whoever waits for one gets ErrClosed.
// Those that were taken stay. A Unix socket's file is removed. It does not wait.
func (ln *Listener) Close() error {
	if ln.loop.elsewhere() {
		return ln.wrapOp("close", errWrongGoroutine)
	}
	if ln.closed {
		return ln.wrapOp("close", ErrClosed)
	}
	ln.close()
	return nil
}

func (ln *Listener) close() {
	if ln.closed {
		return
	}
	ln.closed = true
	ln.unlink()
	l := ln.loop
	if l.debug != nil {
		delete(l.debug.listeners, ln)
	}
	l.timers.Stop(&ln.retry)
	l.timers.Stop(&ln.deadline)
	for _, fd := range ln.pending {
		l.discard(fd)
	}
	ln.pending = nil
	ln.waiters.release(l)
	l.submit(backend.Op{Kind: backend.Close, FD: ln.fd, Sink: (*listenerCloser)(ln)})
}

// SetDeadline ends Accepts that wait at t, and later ones, with ErrDeadline, until it is set again; the zero Time
// takes it away. Connections that have come meanwhile are kept.
func (ln *Listener) SetDeadline(t time.Time) error {
	l := ln.loop
	l.elsewhere()
	if ln.closed {
		return ln.wrapOp("set", ErrClosed)
	}
	ln.expired = false
	l.timers.Stop(&ln.deadline)
	if t.IsZero() {
		return nil
	}
	if left := time.Until(t); left > 0 {
		l.setTimer(&ln.deadline, (*acceptDeadline)(ln), l.after(left))
	} else {
		(*acceptDeadline)(ln).expire(l)
	}
	return nil
}

// acceptDeadline is a listener whose deadline has passed.
type acceptDeadline Listener

func (d *acceptDeadline) expire(l *Loop) {
	d.expired = true
	d.waiters.wake(l)
}

// SetUnlinkOnClose tells whether the socket's file is removed when the listener is closed: that of one that Listen made
// is, that of an inherited one is not. For other than Unix sockets it does nothing. See net.UnixListener.
func (ln *Listener) SetUnlinkOnClose(unlink bool) {
	ln.file = ""
	if addr, ok := ln.addr.(*net.UnixAddr); ok && unlink && !ln.closed {
		ln.file = socketFile(addr)
	}
}

// unlink removes the socket's file, once.
func (ln *Listener) unlink() {
	if ln.file != "" {
		unix.Unlink(ln.file)
		ln.file = ""
	}
}

// shut closes a listener that no loop has run.
func (ln *Listener) shut() {
	ln.unlink()
	unix.Close(ln.fd)
}

// drain stops listening for good. What a server's listener has in the system's queue is served: where other processes
// listen on the socket, too, the system may have told this one alone of it.
func (ln *Listener) drain() {
	if ln.server == nil || !ln.accepting || ln.closed {
		ln.close()
		return
	}
	ln.leaving = true
	ln.loop.backend.Cancel(ln.token)
}

// leave ends a drain, once no accept is in flight any more.
func (ln *Listener) leave() {
	for range defaultBacklog {
		if ln.closed {
			return
		}
		fd, err := sock.Accept(ln.fd)
		if err == nil {
			ln.take(fd)
		} else if err != unix.EINTR && err != unix.ECONNABORTED {
			break
		}
	}
	ln.close()
}

// accept sees to it that an accept is in flight, or will be.
func (ln *Listener) accept() {
	if ln.accepting || ln.closed || ln.leaving || ln.err != nil || ln.retry.Active() {
		return
	}
	ln.accepting = true
	ln.token = ln.loop.submit(backend.Op{Kind: backend.Accept, Multishot: true, FD: ln.fd, Sink: (*acceptor)(ln)})
}

// acceptor is a listener as the sink of its accept.
type acceptor Listener

// Complete implements backend.Sink.
func (a *acceptor) Complete(done *backend.Completion) {
	ln := (*Listener)(a)
	l := ln.loop
	if !done.More {
		ln.accepting = false
	}
	if done.N >= 0 {
		ln.delay = 0
		ln.take(done.N)
	}
	if !done.More {
		ln.ended(done.Err)
	}
	if ln.server == nil || ln.err != nil {
		ln.waiters.wake(l)
	}
}

// take is given an accepted descriptor.
func (ln *Listener) take(fd int) {
	l := ln.loop
	switch {
	case l.stopping || ln.closed && ln.server == nil: // a server that drains takes what was accepted before the close
		l.discard(fd)
	case ln.server != nil:
		ln.server.take(l, fd)
	default:
		l.stats.Accepted++
		ln.pending = append(ln.pending, fd)
		if len(ln.pending) >= maxPending && ln.accepting && !ln.pausing {
			ln.pausing = true
			l.backend.Cancel(ln.token)
		}
	}
}

// ended is told why the accept is no longer in flight.
func (ln *Listener) ended(err error) {
	paused := ln.pausing
	ln.pausing = false
	switch {
	case ln.leaving:
		ln.leave()
	case ln.closed || paused && errors.Is(err, ErrCanceled):
	case err == nil:
		ln.again()
	case outOfResources(err):
		ln.pause(err)
	default:
		ln.err = err
	}
}

// again goes on accepting where someone wants it.
func (ln *Listener) again() {
	if ln.server != nil || ln.waiters.head != nil {
		ln.accept()
	}
}

// pause waits before it tries again, longer each time: trying at once would spin, for the connection stays in the queue.
func (ln *Listener) pause(err error) {
	l := ln.loop
	ln.delay = min(max(2*ln.delay, minRetry), maxRetry)
	l.setTimer(&ln.retry, ln, l.backend.Now()+ln.delay)
	e := &AcceptError{Err: err, Retry: ln.delay}
	if l.opt.errors != nil {
		l.opt.errors(e)
	} else {
		slog.Warn(e.Error(), "addr", ln.addr)
	}
}

func (ln *Listener) expire(*Loop) { ln.again() }

func outOfResources(err error) bool {
	for _, errno := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// listenerCloser is a listener as the sink of its Close.
type listenerCloser Listener

// Complete implements backend.Sink.
func (e *listenerCloser) Complete(*backend.Completion) {
	ln := (*Listener)(e)
	l := ln.loop
	l.open--
	for i := range l.listeners {
		if l.listeners[i] == ln {
			l.listeners = append(l.listeners[:i], l.listeners[i+1:]...)
			break
		}
	}
}

func (ln *Listener) wrap(err error) error { return ln.wrapOp("accept", err) }

func (ln *Listener) wrapOp(op string, err error) error {
	if errno, ok := err.(unix.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: ln.addr.Network(), Addr: ln.addr, Err: err}
}

var _ net.Listener = (*Listener)(nil)
