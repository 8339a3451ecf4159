package reactor

import (
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/sock"
)

// wrap makes err an *net.OpError of this connection; c may be nil.
func (c *conn) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	e := new(opError)
	e.Op, e.Net, e.Err = op, "tcp", err
	if errno, ok := err.(unix.Errno); ok {
		e.call = os.SyscallError{Syscall: op, Err: errno}
		e.Err = &e.call
	}
	switch {
	case c == nil:
	case c.unix:
		e.Net = unixNetwork
		if !c.shutting {
			e.Source, e.Addr = c.localAddr(), c.remoteAddr()
		}
	default:
		if !c.shutting {
			e.Source = e.source.of(sock.Local(int(c.fd)))
		}
		e.Addr = e.addr.of(c.remote())
	}
	return &e.OpError
}

// closedError is that of a call on a connection that is closed, whose addresses nobody knows any more.
func (h Conn) closedError(op string) error { return h.closed().wrap(op, ErrClosed) }

// closed stands in errors for the connection, which is closed: nil for a TCP one.
func (h Conn) closed() *conn {
	if h.unix {
		return closedUnix
	}
	return nil
}

var closedUnix = &conn{connState: connState{unix: true, shutting: true}}

// opError is an *net.OpError with what it refers to, in one piece: where many peers reset at once, each is an error.
type opError struct {
	net.OpError
	call         os.SyscallError
	source, addr tcpAddr
}

// tcpAddr is a *net.TCPAddr with its bytes.
type tcpAddr struct {
	net.TCPAddr
	ip [16]byte
}

// of makes it the address at, or returns nil where that is none.
func (a *tcpAddr) of(at netip.AddrPort) net.Addr {
	ip := at.Addr()
	switch {
	case !at.IsValid():
		return nil
	case ip.Is4():
		as4 := ip.As4()
		a.IP = a.ip[:copy(a.ip[:], as4[:])]
	default:
		a.ip = ip.As16()
		a.IP = a.ip[:]
	}
	a.Port, a.Zone = int(at.Port()), ip.Zone()
	return &a.TCPAddr
}
