package reactor

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// SharedListener is a listener of a loop that any goroutine may use, and several at once; Listener.Shared makes one. It
// implements net.Listener. The loop does not end while one is open, unless Run's context does: then Accept gives
// ErrClosed.
type SharedListener struct {
	ln  *Listener
	act func() // wakes what accepts; it is posted

	mu       sync.Mutex
	ready    sync.Cond
	deadline sharedDeadline
	queue    []*SharedConn // that no Accept has taken, the oldest first
	err      error         // why it accepts no more
	closed   bool          // Close was called
	posted   bool          // act is, and has not begun

	gone chan struct{} // closed when the socket is
	room waitQueue     // the accepting task, while the queue is full; the loop's
}

// maxShared bounds the connections that are accepted and that no Accept has taken. The rest wait in the system's queue.
const maxShared = 16

// Shared makes the listener one for any goroutine, whose connections are *SharedConn. From then on ln is its, and nobody
// else may accept from it or close it. It comes from whatever runs on the loop.
func (ln *Listener) Shared() *SharedListener {
	ln.loop.mustBeHere()
	s := &SharedListener{ln: ln, gone: make(chan struct{})}
	s.ready.L = &s.mu
	s.act = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.posted = false
		s.room.wakeAll()
		if s.closed {
			ln.close()
		}
	}
	if d := ln.loop.debug; d != nil {
		delete(d.listeners, ln)
	}
	ln.loop.spawn(s.accept)
	return s
}

// accept is a task that accepts, for as long as the listener is open, and ends when its socket is closed.
func (s *SharedListener) accept(t Task) error {
	s.ln.loop.outside++
	defer func() {
		s.ln.loop.outside--
		close(s.gone)
	}()
	defer func() {
		s.end(ErrClosed)
		s.ln.close()
		s.ln.awaitClosed(t.t)
	}()
	for {
		for s.isFull() && !t.t.canceled {
			s.room.park(t.t)
		}
		fd, err := s.ln.next(t.t)
		if err != nil {
			if !t.t.canceled {
				s.end(s.ln.wrap(err))
			}
			return nil
		}
		if c, err := s.ln.loop.shareAccepted(fd, s.ln.unix); err != nil {
			s.ln.loop.reportConn(err)
		} else {
			s.put(c)
		}
	}
}

func (s *SharedListener) isFull() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) >= maxShared && !s.closed
}

func (s *SharedListener) put(c *SharedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return
	}
	s.queue = append(s.queue, c)
	s.ready.Signal()
}

// end notes why there will be no more connections; the first reason stands.
func (s *SharedListener) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.deadline.stop()
	s.ready.Broadcast()
}

// Accept implements net.Listener. The net.Conn is a *SharedConn. On the listener's own loop it does not wait, which
// is an error then.
func (s *SharedListener) Accept() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return nil, s.ln.wrap(ErrClosed)
		case s.deadline.expired:
			return nil, s.ln.wrap(ErrDeadline)
		case len(s.queue) > 0:
			c := s.queue[0]
			s.queue[0] = nil
			if s.queue = s.queue[1:]; len(s.queue) == maxShared-1 {
				s.post()
			}
			return c, nil
		case s.err == ErrClosed:
			return nil, s.ln.wrap(ErrClosed)
		case s.err != nil:
			return nil, s.err
		case s.ln.loop.isHere():
			return nil, s.ln.wrap(errOwnLoop)
		}
		s.ready.Wait()
	}
}

// Close stops listening. Connections that no Accept has taken are closed; those that were taken stay. Accepts that wait
// end with ErrClosed. Close returns when the socket is closed: nobody can connect any more, the address can be used
// again, and a Unix socket's file is removed. It waits for the loop, which must not be waiting for its caller.
//
// In a task of the listener's own loop it is as Listener.Close. A task of another loop, and a posted function, cannot
// wait for it: there Close returns at once.
func (s *SharedListener) Close() error {
	if err := s.stop(); err != nil {
		return err
	}
	switch l, ok := loopHere(); {
	case !ok:
		<-s.gone
	case l == s.ln.loop && l.running != nil:
		s.ln.awaitClosed(l.running)
	}
	return nil
}

// stop has the loop close the listener.
func (s *SharedListener) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.ln.wrapOp("close", ErrClosed)
	}
	s.closed = true
	s.deadline.stop()
	for _, c := range s.queue {
		c.Close()
	}
	s.queue = nil
	s.ready.Broadcast()
	s.post()
	return nil
}

// post has the loop look at what has changed, and lets go of the lock meanwhile. Where the loop has ended, so has the
// listener.
func (s *SharedListener) post() {
	if s.posted {
		return
	}
	s.posted = true
	s.mu.Unlock()
	defer s.mu.Lock()
	if s.ln.loop.Post(s.act) == ErrPostFull {
		go s.ln.loop.mustPost(s.act)
	}
}

// Addr implements net.Listener.
func (s *SharedListener) Addr() net.Addr { return s.ln.addr }

// SetDeadline ends Accepts that wait at t, and later ones, with ErrDeadline, until it is set again; the zero Time takes
// it away.
func (s *SharedListener) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.err != nil {
		return s.ln.wrapOp("set", ErrClosed)
	}
	s.deadline.set(t, &s.ready)
	return nil
}

// File is Listener.File.
func (s *SharedListener) File() (f *os.File, err error) {
	err = s.use("file", func() error {
		f, err = dupFile(s.ln.fd, s.ln.addr, "")
		return err
	})
	return f, err
}

// SetUnlinkOnClose is Listener.SetUnlinkOnClose.
func (s *SharedListener) SetUnlinkOnClose(unlink bool) {
	s.use("set", func() error { s.ln.setUnlink(unlink); return nil })
}

// SyscallConn gives access to the listening descriptor. As package net's, it is for Control: Read and Write are EINVAL.
// Close waits for a Control. See syscall.RawConn.
func (s *SharedListener) SyscallConn() (syscall.RawConn, error) {
	if err := s.use("raw", func() error { return nil }); err != nil {
		return nil, err
	}
	return rawShared{rawListening{s.ln}, s}, nil
}

// rawShared implements syscall.RawConn.
type rawShared struct {
	rawListening
	of *SharedListener
}

// Control implements syscall.RawConn.
func (r rawShared) Control(f func(fd uintptr)) error {
	return r.of.use("raw-control", func() error { f(uintptr(r.ln.fd)); return nil })
}

// use calls f while the listener stays open.
func (s *SharedListener) use(op string, f func() error) error {
	s.ln.guard.Lock()
	defer s.ln.guard.Unlock()
	err := ErrClosed
	if !s.ln.closed {
		err = f()
	}
	if err != nil {
		return s.ln.wrapOp(op, err)
	}
	return nil
}

var (
	_ net.Listener = (*SharedListener)(nil)
	_ syscall.Conn = (*SharedListener)(nil)
)
