package reactor

import (
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/sock"
)

// Dial connects to a TCP address. network is "tcp", "tcp4" or "tcp6"; address is as in net.Dial. A name is looked up
// without holding up the loop, and its addresses are tried one after the other. Errors are *net.OpError, of the last
// that was tried; ErrCanceled if the task is canceled.
func Dial(t Task, network, address string) (Conn, error) {
	_, err := t.current()
	var addrs []netip.AddrPort
	if err == nil {
		addrs, err = t.resolve(network, address)
	}
	if err != nil {
		return Conn{}, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	for _, addr := range addrs {
		var c Conn
		c, err = t.dial(network, loopback(addr))
		if err == nil || t.t.canceled {
			return c, err
		}
	}
	return Conn{}, err
}

// dial connects to one address.
func (t Task) dial(network string, addr netip.AddrPort) (Conn, error) {
	failed := func(err error) (Conn, error) {
		return Conn{}, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(addr), Err: err}
	}
	s, err := t.current()
	if err != nil {
		return failed(err)
	}
	raw, err := sock.Raw(nil, addr)
	if err != nil {
		return failed(err)
	}
	fd, err := sock.New(addr.Addr())
	if err != nil {
		return failed(err)
	}
	if err := setUpDialed(fd); err != nil {
		unix.Close(fd)
		return failed(err)
	}
	connected := false
	defer func() {
		if !connected { // the wait may also have ended in Goexit
			s.loop.discard(fd)
		}
	}()
	if err := t.Await(&event.Connect{FD: fd, Addr: raw}); err != nil {
		if errno, ok := err.(unix.Errno); ok {
			err = os.NewSyscallError("connect", errno)
		}
		return failed(err)
	}
	connected = true
	return s.loop.newConn(fd, addr).handle(), nil
}

// setUpDialed sets what accepted sockets have from their listener.
func setUpDialed(fd int) error {
	if err := sock.SetInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	return sock.KeepAlive(fd, defaultKeepAlive)
}

// loopback makes the unspecified address, which an empty host stands for, this machine's.
func loopback(addr netip.AddrPort) netip.AddrPort {
	switch addr.Addr() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
	return addr
}
