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

func local(fd int) netip.AddrPort { return address(unix.SYS_GETSOCKNAME, fd) }

// remote asks for the peer of a connection that was reset, too: accept(2) tells it, getpeername(2) does not.
func remote(fd int) netip.AddrPort {
	if addr := address(unix.SYS_GETPEERNAME, fd); addr.IsValid() {
		return addr
	}
	return former(fd)
}

// former is the address of the peer that the socket has or had, by SO_PEERNAME, which wants to know its size.
func former(fd int) netip.AddrPort {
	var sa unix.RawSockaddrInet6 // has room for IPv4's
	for _, size := range [...]uint32{unix.SizeofSockaddrInet6, unix.SizeofSockaddrInet4} {
		_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERNAME,
			uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			return fromRaw(&sa)
		}
	}
	return netip.AddrPort{}
}

// address asks by a raw call: x/sys's allocates, and these come with every accepted connection, and every reset.
func address(call uintptr, fd int) netip.AddrPort {
	var sa unix.RawSockaddrInet6 // has room for IPv4's
	size := uint32(unix.SizeofSockaddrInet6)
	_, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return netip.AddrPort{}
	}
	return fromRaw(&sa)
}

// fromRaw is the address in sa, which may be an IPv4 one.
func fromRaw(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(zoned(sa.Addr, sa.Scope_id), port)
	}
	return netip.AddrPort{}
}

// bindUnix is bind(2) by a raw call: x/sys has no abstract name of the full length.
func bindUnix(fd int, name string) error {
	if name == "" {
		return unix.Bind(fd, &unix.SockaddrUnix{})
	}
	raw, err := RawUnix(nil, name)
	if err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&raw[0])), uintptr(len(raw)))
	if errno != 0 {
		return errno
	}
	return nil
}

// ReusePortBalances tells that the system spreads connections over the listeners of one address.
const ReusePortBalances = true
