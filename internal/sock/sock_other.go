//go:build unix && !linux

package sock

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// stream makes the socket under the fork lock: between socket and close-on-exec no child may be started.
func stream(family int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func local(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return parse(sa)
}

func remote(fd int) netip.AddrPort {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return parse(sa)
}

func bindUnix(fd int, name string) error { return unix.Bind(fd, &unix.SockaddrUnix{Name: name}) }

// ReusePortBalances tells that the system spreads connections over the listeners of one address.
const ReusePortBalances = false
