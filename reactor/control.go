package reactor

import (
	"errors"
	"net/netip"
	"syscall"
)

// control calls what a Dialer or a ListenConfig has been given to set options of a socket that is new.
func control(f func(network, address string, c syscall.RawConn) error, fd int, network, address string) error {
	if f == nil {
		return nil
	}
	return f(network, address, newSocket(fd))
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
