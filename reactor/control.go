package reactor

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// control calls what a Dialer or a ListenConfig has been given to set options of a socket that is new.
func control(f func(network, address string, c syscall.RawConn) error, fd int, network, address string) error {
	if f == nil {
		return nil
	}
	return f(network, address, newSocket(fd))
}

// orClose calls setUp, and closes the new socket unless that returns nil: also if Control panics or calls Goexit.
func orClose(fd int, setUp func() error) error {
	err := errGoexit
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	err = setUp()
	return err
}

// tcpNetwork is the network of an address's family.
func tcpNetwork(addr netip.AddrPort) string {
	if addr.Addr().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// newSocket is a socket that can be set up, and nothing else yet.
type newSocket int

// Control implements syscall.RawConn.
func (s newSocket) Control(f func(fd uintptr)) error {
	f(uintptr(s))
	return nil
}

// Read implements syscall.RawConn.
func (newSocket) Read(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// Write implements syscall.RawConn.
func (newSocket) Write(func(fd uintptr) bool) error { return errors.ErrUnsupported }
