//go:build unix && (!linux || eyewall_portable)

package readiness

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr makes of a raw socket address what x/sys wants: these systems promise a C library, not system calls.
func sockaddr(raw []byte) (unix.Sockaddr, error) {
	if len(raw) < int(unsafe.Offsetof(unix.RawSockaddr{}.Data)) {
		return nil, syscall.EINVAL
	}
	switch p := unsafe.Pointer(unsafe.SliceData(raw)); (*unix.RawSockaddr)(p).Family {
	case unix.AF_INET:
		if len(raw) < unix.SizeofSockaddrInet4 {
			return nil, syscall.EINVAL
		}
		a := (*unix.RawSockaddrInet4)(p)
		return &unix.SockaddrInet4{Port: port(&a.Port), Addr: a.Addr}, nil
	case unix.AF_INET6:
		if len(raw) < unix.SizeofSockaddrInet6 {
			return nil, syscall.EINVAL
		}
		a := (*unix.RawSockaddrInet6)(p)
		return &unix.SockaddrInet6{Port: port(&a.Port), ZoneId: a.Scope_id, Addr: a.Addr}, nil
	case unix.AF_UNIX:
		path := raw[unsafe.Offsetof(unix.RawSockaddrUnix{}.Path):]
		for i, c := range path {
			if c == 0 {
				path = path[:i]
				break
			}
		}
		return &unix.SockaddrUnix{Name: string(path)}, nil
	}
	return nil, syscall.EAFNOSUPPORT
}

// port is in network order.
func port(p *uint16) int {
	return int(binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]))
}
