package reactor

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/sock"
)

// SetNoDelay tells whether small segments go out at once (TCP_NODELAY), which is the default. A Unix socket has none.
func (h Conn) SetNoDelay(on bool) error {
	return h.set(func(fd int) error { return sock.SetInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, boolInt(on)) })
}

// SetKeepAlive tells whether an idle peer is probed (SO_KEEPALIVE), which is the default for TCP.
func (h Conn) SetKeepAlive(on bool) error {
	return h.set(func(fd int) error { return sock.SetInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, boolInt(on)) })
}

// SetKeepAlivePeriod sets for how long a TCP connection has been idle when its peer is probed, in whole seconds,
// rounded up: 15 s if it is 0; a negative one leaves it as it is. See net.TCPConn.
func (h Conn) SetKeepAlivePeriod(idle time.Duration) error {
	return h.set(func(fd int) error { return sock.SetKeepAlivePeriod(fd, idle) })
}

// SetKeepAliveConfig sets how an idle peer is probed: see net.TCPConn.
func (h Conn) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	return h.set(func(fd int) error { return sock.SetKeepAlive(fd, cfg) })
}

// SetLinger with 0 has the kernel drop what it has not sent when the connection is closed, and tell the peer of a reset;
// a negative number of seconds, the default, has it go on sending. A positive one would hold up the loop and is
// errors.ErrUnsupported: what Close waits for is WithLinger's. See SO_LINGER in socket(7).
func (h Conn) SetLinger(seconds int) error {
	return h.set(func(fd int) error {
		if seconds > 0 {
			return fmt.Errorf("SO_LINGER of %d s: %w", seconds, errors.ErrUnsupported)
		}
		return sock.Linger(fd, seconds == 0)
	})
}

// SetReadBuffer sets the bytes of the kernel's receive buffer (SO_RCVBUF).
func (h Conn) SetReadBuffer(bytes int) error {
	return h.set(func(fd int) error { return sock.SetInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes) })
}

// SetWriteBuffer sets the bytes of the kernel's send buffer (SO_SNDBUF).
func (h Conn) SetWriteBuffer(bytes int) error {
	return h.set(func(fd int) error { return sock.SetInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bytes) })
}

func (h Conn) set(option func(fd int) error) error {
	c, err := h.open()
	if err == nil {
		err = option(int(c.fd))
	}
	return c.wrap("set", err)
}
