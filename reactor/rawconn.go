package reactor

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/sock"
)

// SyscallConn gives access to the descriptor, for tasks of the loop. Its Read and Write wait until the descriptor is
// ready, up to the deadline that is set when they begin. What they read is not what has been received already, and what
// they write goes before what Write has gathered, which Flush sends. See syscall.RawConn.
func (h Conn) SyscallConn() (syscall.RawConn, error) {
	c, err := h.open()
	if err != nil {
		return nil, c.wrap("raw", err)
	}
	return rawConn{c.loop, h}, nil
}

// SyscallConn gives access to the listening descriptor, for code that runs on the loop. As package net's, it is for
// Control: Read and Write are EINVAL. See syscall.RawConn.
func (ln *Listener) SyscallConn() (syscall.RawConn, error) {
	if err := ln.usable(); err != nil {
		return nil, ln.wrapOp("raw", err)
	}
	return rawListening{ln}, nil
}

// rawListening implements syscall.RawConn.
type rawListening struct{ ln *Listener }

// Control implements syscall.RawConn.
func (r rawListening) Control(f func(fd uintptr)) error {
	if err := r.ln.usable(); err != nil {
		return r.ln.wrapOp("raw-control", err)
	}
	f(uintptr(r.ln.fd))
	return nil
}

// Read implements syscall.RawConn.
func (rawListening) Read(func(fd uintptr) bool) error { return unix.EINVAL }

// Write implements syscall.RawConn.
func (rawListening) Write(func(fd uintptr) bool) error { return unix.EINVAL }

// rawConn implements syscall.RawConn.
type rawConn struct {
	loop *Loop
	of   Conn
}

// Control implements syscall.RawConn.
func (r rawConn) Control(f func(fd uintptr)) error {
	if r.loop.elsewhere() {
		return r.of.wrapOp("raw-control", ErrWrongGoroutine)
	}
	fd := r.of.FD()
	if fd < 0 {
		return r.of.wrapOp("raw-control", ErrClosed)
	}
	f(uintptr(fd))
	return nil
}

// Read implements syscall.RawConn.
func (r rawConn) Read(f func(fd uintptr) bool) error { return r.wait("raw-read", unix.POLLIN, f) }

// Write implements syscall.RawConn.
func (r rawConn) Write(f func(fd uintptr) bool) error { return r.wait("raw-write", unix.POLLOUT, f) }

func (r rawConn) wait(op string, events int16, f func(fd uintptr) bool) error {
	t, err := r.loop.enter()
	if err != nil {
		return r.of.wrapOp(op, err)
	}
	for {
		fd := r.of.FD()
		if fd < 0 {
			return r.of.wrapOp(op, ErrClosed)
		}
		left, expired := r.of.left(events == unix.POLLOUT)
		if expired {
			return r.of.wrapOp(op, ErrDeadline)
		}
		if f(uintptr(fd)) {
			return nil
		}
		if err := t.task().Await(&event.Poll{FD: fd, Events: events, Timeout: left}); err != nil {
			return r.of.wrapOp(op, err)
		}
	}
}

func (h Conn) left(write bool) (time.Duration, bool) {
	c := h.c
	if c.rare == nil {
		return 0, false
	}
	d := &c.rare.read
	if write {
		d = &c.rare.write
	}
	return c.loop.left(&d.timer), d.expired
}

func (h Conn) wrapOp(op string, err error) error {
	if err == ErrWrongGoroutine {
		return h.closed().wrap(op, err)
	}
	c, closed := h.open()
	if closed != nil {
		err = closed
	}
	return c.wrap(op, err)
}

// File returns a duplicate of the connection's socket. Each is closed by itself, and closing one leaves the other open.
// It is non-blocking. Whoever reads or writes it must know what has been received, and what is yet to be sent: Flush
// sends it.
func (h Conn) File() (*os.File, error) {
	c, err := h.open()
	if err != nil {
		return nil, c.wrap("file", err)
	}
	f, err := dupFile(int(c.fd), c.localAddr(), c.remoteAddr().String())
	return f, c.wrap("file", err)
}

// File returns a duplicate of the listening socket, for a process that goes on listening: pass it by exec.Cmd's
// ExtraFiles, and there take it over by ListenFile. Each is closed by itself. A Unix socket's file is still removed
// at the listener's close, unless SetUnlinkOnClose says otherwise.
func (ln *Listener) File() (*os.File, error) {
	if err := ln.usable(); err != nil {
		return nil, ln.wrapOp("file", err)
	}
	f, err := dupFile(ln.fd, ln.addr, "")
	if err != nil {
		return nil, ln.wrapOp("file", err)
	}
	return f, nil
}

func dupFile(fd int, local net.Addr, remote string) (*os.File, error) {
	dup, err := sock.Dup(fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), local.Network()+":"+local.String()+"->"+remote), nil
}

var (
	_ syscall.Conn = Conn{}
	_ syscall.Conn = (*Listener)(nil)
)
