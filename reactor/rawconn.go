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
	if h.FD() < 0 {
		return nil, opErrorClosed("raw")
	}
	return rawConn{h.c.loop, h}, nil
}

// SyscallConn gives access to the listening descriptor, for tasks of the loop. See syscall.RawConn.
func (ln *Listener) SyscallConn() (syscall.RawConn, error) {
	if ln.closed {
		return nil, ln.wrapOp("raw", ErrClosed)
	}
	return rawConn{ln.loop, ln}, nil
}

// rawConn implements syscall.RawConn.
type rawConn struct {
	loop *Loop
	of   interface {
		descriptor() int // -1 once it is closed
		left(write bool) (left time.Duration, expired bool)
		wrapOp(op string, err error) error
	}
}

// Control implements syscall.RawConn.
func (r rawConn) Control(f func(fd uintptr)) error {
	fd := r.of.descriptor()
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
	if r.loop.elsewhere() {
		return r.of.wrapOp(op, errWrongGoroutine)
	}
	t := r.loop.running
	if t == nil {
		return r.of.wrapOp(op, ErrNotTask)
	}
	for {
		fd := r.of.descriptor()
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

func (h Conn) descriptor() int { return h.FD() }

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
	if h.FD() < 0 {
		return opErrorClosed(op)
	}
	return h.c.wrap(op, err)
}

func (ln *Listener) descriptor() int {
	if ln.closed {
		return -1
	}
	return ln.fd
}

func (ln *Listener) left(bool) (time.Duration, bool) { return ln.loop.left(&ln.deadline), ln.expired }

// File returns a duplicate of the connection's socket. Each is closed by itself, and closing one leaves the other open.
// It is non-blocking. Whoever reads or writes it must know what has been received, and what is yet to be sent: Flush
// sends it.
func (h Conn) File() (*os.File, error) {
	if h.FD() < 0 {
		return nil, opErrorClosed("file")
	}
	f, err := dupFile(h.FD(), h.LocalAddr(), h.RemoteAddr().String())
	return f, h.c.wrap("file", err)
}

// File returns a duplicate of the listening socket, for a process that goes on listening: pass it by exec.Cmd's
// ExtraFiles, and there take it over by ListenFile. Each is closed by itself. A Unix socket's file is still removed
// at the listener's close, unless SetUnlinkOnClose says otherwise.
func (ln *Listener) File() (*os.File, error) {
	if ln.closed {
		return nil, ln.wrapOp("file", ErrClosed)
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
