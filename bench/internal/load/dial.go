//go:build linux

package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

var errEOF = fmt.Errorf("the server closed the connection: %w", io.EOF)

const (
	perSource = 20000 // connections from one source address: its ports are not endless
	perProbe  = 64    // connections between probes
)

// dialer opens connections to a loopback address.
type dialer struct {
	to     unix.SockaddrInet4
	source bool // connections are so many that they take several source addresses
	n      int  // how many were opened
}

func newDialer(addr string, expected int) (*dialer, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	return &dialer{to: unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, source: expected > perSource}, nil
}

// socket makes a socket that is ready to be connected.
func (d *dialer) socket(flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if d.source {
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + d.n/perSource%250)}}
		if err := unix.Bind(fd, &from); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("bind to %v: %w", netip.AddrFrom4(from.Addr), err)
		}
	}
	d.n++
	return fd, nil
}

// dial opens a connection, and waits until it is there.
func (d *dialer) dial() (int, error) {
	patience := time.Now().Add(2 * time.Second) // some servers say that they are ready a little early
	for {
		fd, err := d.socket(0)
		if err != nil {
			return -1, err
		}
		limit := unix.Timeval{Sec: 5}
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
		err = unix.Connect(fd, &d.to)
		if err == nil {
			return fd, nil
		}
		unix.Close(fd)
		if err == unix.EINPROGRESS { // what a time limit is called here
			err = errors.New("no answer for 5 s")
		}
		if err != unix.ECONNREFUSED || time.Now().After(patience) {
			return -1, fmt.Errorf("connect: %w", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// probe sends a byte and waits for its echo. Servers accept in order, so all connections opened before are theirs then,
// and the queue of their listener cannot overflow, which would cost a second each.
func probe(fd int) error {
	b := []byte{'?'}
	if _, err := unix.Write(fd, b); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	b[0] = 0
	for {
		n, err := unix.Read(fd, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case n == 0:
			return errEOF
		case b[0] != '?':
			return errors.New("an echo that is none")
		default:
			return nil
		}
	}
}

// dialAll opens n connections.
func (d *dialer) dialAll(n int) ([]int, error) {
	fds := make([]int, 0, n)
	for i := range n {
		fd, err := d.dial()
		if err == nil {
			fds = append(fds, fd)
			if i%perProbe == 0 || i == n-1 {
				err = probe(fd)
			}
		}
		if err != nil {
			return fds, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
	}
	return fds, nil
}

// abort has close send a reset: no TIME_WAIT keeps the port, and nothing is left to be waited for.
func abort(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}
