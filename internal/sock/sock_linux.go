package sock

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

func stream(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

func setFamily(sa unsafe.Pointer, family, _ int) { *(*uint16)(sa) = uint16(family) }

func local(fd int) netip.AddrPort  { return address(unix.SYS_GETSOCKNAME, fd) }
func remote(fd int) netip.AddrPort { return address(unix.SYS_GETPEERNAME, fd) }

// address asks by a raw call: x/sys's allocates, and these come with every accepted connection, and every reset.
func address(call uintptr, fd int) netip.AddrPort {
	var sa unix.RawSockaddrInet6 // has room for IPv4's
	size := uint32(unix.SizeofSockaddrInet6)
	_, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(zoned(sa.Addr, sa.Scope_id), port)
	}
	return netip.AddrPort{}
}

// ReusePortBalances tells that the system spreads connections over the listeners of one address.
const ReusePortBalances = true
