package reactor

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/goroutine"
	"github.com/eyewall/eyewall/internal/sock"
)

// SharedConn is a connection of a loop that any goroutine may use, and several at once; Conn.Shared makes one. It has the
// methods of net.TCPConn, with package net's semantics. Its bytes go through the runtime's poller, which is made for
// goroutines, as package net's do, and not through the loop's backend. The loop does not end while one is open, unless
// Run's context does: then its methods give ErrClosed. A drain waits for it as for any connection.
//
// Its methods wait by blocking their goroutine, so that code on a loop should not call those that do. On the
// connection's own loop Read and Write return an error if they would have to wait.
type SharedConn struct {
	loop          *Loop
	local, remote net.Addr
	file          *os.File // its socket, for the runtime's poller; nil if there is none
	why           error    // there is none

	h        Conn                     // the loop's; the zero Conn if it never had one
	handover atomic.Pointer[handover] // nil if nothing is left of it

	writing sync.Mutex // held by the Write that is under way: what each writes stays together

	mu     sync.Mutex
	closed bool // Close was called
	ended  bool // the loop has ended, and closed it
}

// Shared makes the connection one for any goroutine. h, and every copy of it, is closed by that; tasks that wait for it
// get ErrClosed, its deadlines are taken away, and what Next has lent is returned. The end of a handler does not close
// it. It comes from whatever runs on the loop.
//
// Of a connection that is closed already it makes one that is closed. The connection gets another descriptor: if the
// process can have none, it is closed, and the methods of the SharedConn return the reason.
func (h Conn) Shared() *SharedConn {
	h.mustBeHere()
	s, err := h.share()
	if err != nil {
		s = &SharedConn{local: h.LocalAddr(), remote: h.RemoteAddr(), why: err}
	}
	return s
}

// share is Shared. If it fails the connection is closed.
func (h Conn) share() (*SharedConn, error) {
	if h.FD() < 0 {
		return nil, ErrClosed
	}
	c := h.c
	s := &SharedConn{loop: c.loop, local: h.LocalAddr(), remote: h.RemoteAddr()}
	fd, err := sock.Dup(int(c.fd)) // the backend may know the other one
	if err == nil {
		s.file, err = newPolled(fd)
	}
	if err != nil {
		h.release()
		return nil, err
	}
	if s.h = c.takeOver(); c.isIdle() {
		s.h.release()
	} else {
		s.handover.Store(newHandover())
		s.loop.spawn(s.handOver)
	}
	s.open()
	return s, nil
}

// shareAccepted makes a SharedConn of a descriptor that was accepted, and that no backend knows.
func (l *Loop) shareAccepted(fd int, unix bool) (*SharedConn, error) {
	s := &SharedConn{loop: l}
	if unix {
		s.local, s.remote = sock.LocalUnix(fd), sock.RemoteUnix(fd)
	} else {
		s.local = net.TCPAddrFromAddrPort(sock.Local(fd))
		s.remote = net.TCPAddrFromAddrPort(sock.Remote(fd))
	}
	var err error
	if s.file, err = newPolled(fd); err != nil {
		return nil, s.fail("accept", err)
	}
	s.open()
	return s, nil
}

// open makes it one of the loop's.
func (s *SharedConn) open() {
	if !s.loop.shared.add(s) {
		s.end()
	}
}

// newPolled hands a socket's descriptor to the runtime's poller. If that fails it closes it.
func newPolled(fd int) (*os.File, error) {
	f := os.NewFile(uintptr(fd), "")
	if err := f.SetDeadline(time.Time{}); err != nil { // the poller has not taken it
		f.Close()
		return nil, err
	}
	return f, nil
}

// isIdle reports whether the loop has nothing to finish.
func (c *conn) isIdle() bool {
	return !c.receiving && c.in == nil && !c.sending && c.gathered() == 0 &&
		(c.rare == nil || c.rare.readErr == nil && c.rare.writeErr == nil && c.rare.splices == 0)
}

// takeOver makes every handle stale, and returns a new one, for who has nothing to do with its server.
func (c *conn) takeOver() Conn {
	c.clearDeadlines()
	c.returnLent()
	c.generation++
	if c.lazy {
		c.loop.lazies--
	}
	c.handler, c.lazy, c.calling = nil, false, false
	if d := c.loop.debug; d != nil {
		d.closes(c) // for its tasks
	}
	c.readers.releaseAll()
	c.releaseWriters()
	if c.isUnread = false; c.in != nil {
		c.markUnread()
	}
	return c.handle()
}

// end closes it for a loop that is to end.
func (s *SharedConn) end() {
	s.mu.Lock()
	s.ended = true
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return
	}
	if h := s.handover.Load(); h != nil {
		h.close()
	}
	s.file.Close()
	s.letGo()
}

// letGo closes the loop's connection, if it is still open. It is called on the loop.
func (s *SharedConn) letGo() {
	h := s.handover.Load()
	if h == nil || s.h.FD() < 0 {
		return
	}
	if r := s.h.c.rare; r != nil {
		h.mu.Lock()
		r.told = h.heard
		h.mu.Unlock()
	}
	s.h.release()
}

// forget drops the handover once it is over.
func (s *SharedConn) forget() {
	if h := s.handover.Load(); h != nil && h.isOver() {
		s.handover.Store(nil)
	}
}

// Read implements net.Conn.
func (s *SharedConn) Read(p []byte) (int, error) {
	if s.file == nil {
		return 0, s.fail("read", s.why)
	}
	here := s.isHere()
	if h := s.handover.Load(); h != nil {
		if n, over, err := h.take(p, !here); !over {
			s.forget()
			return n, s.fail("read", err)
		}
	}
	if here {
		return s.readHere(p)
	}
	n, err := s.file.Read(p)
	if err != nil {
		err = s.fail("read", err)
	}
	return n, err
}

// Write implements net.Conn.
func (s *SharedConn) Write(p []byte) (int, error) {
	if s.file == nil {
		return 0, s.fail("write", s.why)
	}
	here := s.isHere()
	if err := s.beginWrite(here); err != nil {
		return 0, s.fail("write", err)
	}
	defer s.writing.Unlock()
	if here {
		return s.writeHere(p)
	}
	n, err := s.file.Write(p)
	if err != nil {
		err = s.fail("write", err)
	}
	return n, err
}

// beginWrite waits until it is its caller's turn to write. Unless it fails, writing is locked then.
func (s *SharedConn) beginWrite(here bool) error {
	if !here {
		s.writing.Lock()
	} else if !s.writing.TryLock() { // the Write that has the lock may be waiting for the loop
		return errOwnLoop
	}
	if h := s.handover.Load(); h != nil {
		if err := h.awaitSent(!here); err != nil {
			s.writing.Unlock()
			return err
		}
	}
	return nil
}

// readHere is Read on the connection's loop: it does not wait.
func (s *SharedConn) readHere(p []byte) (n int, err error) {
	err = s.try("read", func(fd int) (err error) {
		n, err = unix.Read(fd, p)
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// writeHere is Write on the connection's loop: it does not wait.
func (s *SharedConn) writeHere(p []byte) (written int, err error) {
	for err == nil && written < len(p) {
		err = s.try("write", func(fd int) error {
			n, err := unix.Write(fd, p[written:])
			written += max(n, 0)
			return err
		})
	}
	return written, err
}

// try makes a system call that does not wait.
func (s *SharedConn) try(op string, call func(fd int) error) error {
	return s.control(op, func(fd int) (err error) {
		for err = unix.EINTR; err == unix.EINTR; {
			err = call(fd)
		}
		if err == unix.EAGAIN {
			err = errOwnLoop
		}
		return err
	})
}

// control calls f while the socket stays open.
func (s *SharedConn) control(op string, f func(fd int) error) error {
	if s.file == nil {
		return s.fail(op, s.why)
	}
	raw, err := s.file.SyscallConn()
	if err == nil && raw.Control(func(fd uintptr) { err = f(int(fd)) }) != nil {
		err = ErrClosed
	}
	return s.fail(op, err)
}

// CloseWrite tells the peer, after what was written, that nothing more will come. Reading goes on. It does not wait.
func (s *SharedConn) CloseWrite() error {
	if h := s.handover.Load(); h != nil && h.closeWrite() {
		return nil
	}
	return s.shutdown(unix.SHUT_WR)
}

// CloseRead tells the system that nothing more is to be read: bytes that have come can be, and then the end of the
// stream. Writing goes on. See shutdown(2).
func (s *SharedConn) CloseRead() error { return s.shutdown(unix.SHUT_RD) }

func (s *SharedConn) shutdown(how int) error {
	return s.control("close", func(fd int) error { return os.NewSyscallError("shutdown", unix.Shutdown(fd, how)) })
}

// Close implements net.Conn. Reads and Writes that wait end with ErrClosed. It does not wait: the system sends what was
// written. What the loop had not sent when the connection became a shared one, it sends for no longer than the linger
// time (WithLinger).
func (s *SharedConn) Close() error {
	if s.file == nil {
		return s.fail("close", s.why)
	}
	s.mu.Lock()
	closed, ended := s.closed, s.ended
	s.closed = true
	s.mu.Unlock()
	switch {
	case closed:
		return s.fail("close", ErrClosed)
	case ended:
		return nil
	}
	err := s.file.Close()
	last := s.loop.shared.remove(s)
	switch h := s.handover.Load(); {
	case h != nil:
		h.close()
		s.tell(s.letGo)
	case last:
		s.tell(func() {})
	}
	return s.fail("close", err)
}

// tell has the loop call f, and then see whether it goes on.
func (s *SharedConn) tell(f func()) {
	if s.loop.Post(f) == ErrPostFull {
		go s.loop.mustPost(f)
	}
}

// isHere reports whether its caller runs on the connection's loop.
func (s *SharedConn) isHere() bool {
	l := s.loop
	if goroutine.Is(&l.goroutine) {
		return true
	}
	thread := l.thread.Load()
	return thread > 0 && thread == threadID() && l.state.Load() == running
}

// LocalAddr implements net.Conn.
func (s *SharedConn) LocalAddr() net.Addr { return s.local }

// RemoteAddr implements net.Conn.
func (s *SharedConn) RemoteAddr() net.Addr { return s.remote }

// SetDeadline implements net.Conn.
func (s *SharedConn) SetDeadline(t time.Time) error { return s.setDeadlines(t, true, true) }

// SetReadDeadline implements net.Conn.
func (s *SharedConn) SetReadDeadline(t time.Time) error { return s.setDeadlines(t, true, false) }

// SetWriteDeadline implements net.Conn.
func (s *SharedConn) SetWriteDeadline(t time.Time) error { return s.setDeadlines(t, false, true) }

func (s *SharedConn) setDeadlines(t time.Time, read, write bool) (err error) {
	if s.file == nil {
		return s.fail("set", s.why)
	}
	if h := s.handover.Load(); h != nil {
		h.setDeadlines(t, read, write)
	}
	switch {
	case read && write:
		err = s.file.SetDeadline(t)
	case read:
		err = s.file.SetReadDeadline(t)
	default:
		err = s.file.SetWriteDeadline(t)
	}
	if err != nil {
		return s.fail("set", ErrClosed)
	}
	return nil
}

// fail is the error that a method returns, as package net has it, for one of the file, of the handover or of the system.
func (s *SharedConn) fail(op string, err error) error {
	if _, ok := err.(*net.OpError); ok || err == nil || err == io.EOF {
		return err
	}
	if of, ok := err.(*os.PathError); ok {
		err = of.Err
	}
	switch errno, ok := err.(unix.Errno); {
	case ok:
		err = os.NewSyscallError(op, errno)
	case err == os.ErrClosed:
		err = ErrClosed
	}
	return &net.OpError{Op: op, Net: s.local.Network(), Source: s.local, Addr: s.remote, Err: err}
}

var _ net.Conn = (*SharedConn)(nil)
