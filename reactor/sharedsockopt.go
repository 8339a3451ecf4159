package reactor

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/sock"
)

// SetNoDelay tells whether small segments go out at once (TCP_NODELAY), which is the default. A Unix socket has none.
func (s *SharedConn) SetNoDelay(on bool) error {
	return s.setInt(unix.IPPROTO_TCP, unix.TCP_NODELAY, boolInt(on))
}

// SetKeepAlive tells whether an idle peer is probed (SO_KEEPALIVE), which is the default for TCP.
func (s *SharedConn) SetKeepAlive(on bool) error {
	return s.setInt(unix.SOL_SOCKET, unix.SO_KEEPALIVE, boolInt(on))
}

// SetKeepAlivePeriod is Conn.SetKeepAlivePeriod.
func (s *SharedConn) SetKeepAlivePeriod(idle time.Duration) error {
	return s.control("set", func(fd int) error { return sock.SetKeepAlivePeriod(fd, idle) })
}

// SetKeepAliveConfig sets how an idle peer is probed: see net.TCPConn.
func (s *SharedConn) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	return s.control("set", func(fd int) error { return sock.SetKeepAlive(fd, cfg) })
}

// SetLinger is net.TCPConn's. With a positive number of seconds Close waits for the peer to take what was written, as
// long as that, in a system call; see SO_LINGER in socket(7).
func (s *SharedConn) SetLinger(seconds int) error {
	l := unix.Linger{Onoff: 1, Linger: int32(seconds)}
	if seconds < 0 {
		l = unix.Linger{}
	}
	return s.control("set", func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
	})
}

// SetReadBuffer sets the bytes of the kernel's receive buffer (SO_RCVBUF).
func (s *SharedConn) SetReadBuffer(bytes int) error {
	return s.setInt(unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
}

// SetWriteBuffer sets the bytes of the kernel's send buffer (SO_SNDBUF).
func (s *SharedConn) SetWriteBuffer(bytes int) error {
	return s.setInt(unix.SOL_SOCKET, unix.SO_SNDBUF, bytes)
}

func (s *SharedConn) setInt(level, option, value int) error {
	return s.control("set", func(fd int) error { return sock.SetInt(fd, level, option, value) })
}

// File returns a duplicate of the socket. Each is closed by itself, and closing one leaves the other open. See
// net.TCPConn.
func (s *SharedConn) File() (f *os.File, err error) {
	err = s.control("file", func(fd int) (err error) {
		f, err = dupFile(fd, s.local, s.remote.String())
		return err
	})
	return f, err
}

// SyscallConn gives access to the descriptor, as net.TCPConn's does. What the loop had received when the connection
// became a shared one is for Read only.
func (s *SharedConn) SyscallConn() (syscall.RawConn, error) {
	if s.file == nil {
		return nil, s.fail("raw", s.why)
	}
	raw, err := s.file.SyscallConn()
	if err != nil {
		return nil, s.fail("raw", ErrClosed)
	}
	return rawSharedConn{s, raw}, nil
}

// rawSharedConn implements syscall.RawConn.
type rawSharedConn struct {
	of  *SharedConn
	raw syscall.RawConn // the file's
}

// Control implements syscall.RawConn.
func (r rawSharedConn) Control(f func(fd uintptr)) error {
	return r.fail("raw-control", r.raw.Control(f))
}

// Read implements syscall.RawConn.
func (r rawSharedConn) Read(f func(fd uintptr) bool) error { return r.fail("raw-read", r.raw.Read(f)) }

// Write implements syscall.RawConn.
func (r rawSharedConn) Write(f func(fd uintptr) bool) error {
	return r.fail("raw-write", r.raw.Write(f))
}

func (r rawSharedConn) fail(op string, err error) error {
	if err != nil && err != ErrDeadline {
		err = ErrClosed
	}
	return r.of.fail(op, err)
}

var _ syscall.Conn = (*SharedConn)(nil)
