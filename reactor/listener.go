package reactor

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
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
// for tasks of its loop, and give ErrWrongGoroutine to other goroutines: Shared makes one that is for any.
type Listener struct {
	loop *Loop
	fd   int // -1 once the socket is closed
	addr net.Addr
	unix bool   // it listens on a Unix socket
	file string // the socket's, to be removed at its close; empty where it has none

	accepting bool // the multishot accept is in flight
	pausing   bool // and has been canceled, since too many are pending
	closed    bool
	leaving   bool // it closes when the accept has ended
	token     backend.Token
	pending   ring[int] // accepted descriptors
	waiters   waitQueue
	closers   waitQueue // of Close
	err       error     // why it accepts no more
	delay     time.Duration
	retry     timers.Timer[expirer]

	guard sync.Mutex // held by close, and by what other goroutines do with fd and file by a SharedListener

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

// FD is the listening descriptor, or -1 once the listener is closed. It stays the listener's.
func (ln *Listener) FD() int {
	if ln.closed {
		return -1
	}
	return ln.fd
}

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
	t, err := ln.loop.enter()
	if err != nil {
		return Conn{}, ln.wrap(err)
	}
	fd, err := ln.next(t)
	if err != nil {
		if t.canceled {
			t.giveWay()
		}
		return Conn{}, ln.wrap(err)
	}
	return ln.loop.newAccepted(fd, ln.unix).handle(), nil
}

// next waits until there is a connection and it is t's turn to take it: those that wait are served in the order in which
// they came.
func (ln *Listener) next(t *task) (fd int, err error) {
	w := &t.turn
	for waited := false; ; waited = true {
		switch {
		case ln.pending.n > 0 && ln.waiters.serves(w) && (waited || !ln.expired): // it beats a deadline that has passed since
			w.leave()
			fd = ln.pending.pop()
			ln.passOn()
			return fd, nil
		case ln.closed && !t.canceled: // of a loop that ends, both are true
			err = ErrClosed
		case ln.expired:
			err = ErrDeadline
		case ln.err != nil && ln.pending.n == 0:
			err = ln.err
		case t.canceled:
			err = t.cause()
		}
		if err != nil {
			w.leave()
			ln.passOn()
			return -1, err
		}
		ln.accept()
		if !waited {
			ln.waiters.push(w)
		}
		t.park()
	}
}

// passOn wakes the first task that waits if there is a connection for it.
func (ln *Listener) passOn() {
	if ln.pending.n > 0 {
		ln.waiters.wakeFirst()
	}
}

// Close stops listening. Connections that no Accept has taken are closed, and whoever waits for one gets ErrClosed.
// Those that were taken stay. A Unix socket's file is removed.
//
// In a task, also one that is canceled, and in a handler Close returns when the socket is closed: nobody can connect
// any more, and the address can be used again. That takes a turn or two of the loop, in which other tasks run. A
// posted function cannot wait: there Close returns at once, and the loop closes the socket in its next turns.
func (ln *Listener) Close() error {
	if err := ln.usable(); err != nil {
		return ln.wrapOp("close", err)
	}
	ln.close()
	if t := ln.loop.running; t != nil {
		ln.awaitClosed(t)
	}
	return nil
}

// usable checks that its caller runs on the loop and the listener is open.
func (ln *Listener) usable() error {
	switch {
	case ln.loop.elsewhere():
		return ErrWrongGoroutine
	case ln.closed:
		return ErrClosed
	}
	return nil
}

// awaitClosed waits until the socket is closed. A canceled task waits, too: the end depends on nobody but the loop.
func (ln *Listener) awaitClosed(t *task) {
	for ln.fd >= 0 {
		t.waits = waitsForClose
		ln.closers.park(t)
	}
	t.waits = waitsForOther
}

func (ln *Listener) close() {
	if ln.closed {
		return
	}
	ln.guard.Lock()
	ln.closed = true
	ln.unlink()
	ln.guard.Unlock()
	l := ln.loop
	if l.debug != nil {
		delete(l.debug.listeners, ln)
	}
	l.timers.Stop(&ln.retry)
	l.timers.Stop(&ln.deadline)
	for ln.pending.n > 0 {
		l.discard(ln.pending.pop())
	}
	ln.waiters.wakeAll()
	l.submit(backend.Op{Kind: backend.Close, FD: ln.fd, Sink: (*listenerCloser)(ln)})
}

// SetDeadline ends Accepts that wait at t, and later ones, with ErrDeadline, until it is set again; the zero Time
// takes it away. Connections that have come meanwhile are kept.
func (ln *Listener) SetDeadline(t time.Time) error {
	if err := ln.usable(); err != nil {
		return ln.wrapOp("set", err)
	}
	l := ln.loop
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
	d.waiters.wakeAll()
}

// SetUnlinkOnClose tells whether the socket's file is removed when the listener is closed: that of one that Listen made
// is, that of an inherited one is not. For other than Unix sockets it does nothing. See net.UnixListener.
func (ln *Listener) SetUnlinkOnClose(unlink bool) {
	ln.loop.mustBeHere()
	ln.setUnlink(unlink)
}

func (ln *Listener) setUnlink(unlink bool) {
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

// socket is the listener's.
func (ln *Listener) socket() socket { return socket{ln.fd, ln.file} }

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
	if ln.passOn(); ln.err != nil {
		ln.waiters.wakeAll()
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
		ln.pending.push(fd)
		if ln.pending.n >= maxPending && ln.accepting && !ln.pausing {
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
	case ln.closed:
	case err == nil || paused && errors.Is(err, ErrCanceled):
		if ln.pending.n < maxPending { // they may all have been taken since it paused
			ln.again()
		}
	case sock.Transient(err):
		ln.pause(err)
	default:
		ln.err = err
	}
}

// again goes on accepting where someone wants it.
func (ln *Listener) again() {
	if ln.server != nil || !ln.waiters.empty() {
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

// listenerCloser is a listener as the sink of its Close.
type listenerCloser Listener

// Complete implements backend.Sink.
func (e *listenerCloser) Complete(*backend.Completion) {
	ln := (*Listener)(e)
	ln.fd = -1
	ln.closers.wakeAll()
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
