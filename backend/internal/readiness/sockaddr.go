//go:build unix && (!linux || eyewall_portable)

package readiness

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connector connects sockets. These systems promise a C library, not system calls, so it goes through x/sys, which takes
// a parsed address. There is one of each kind, used anew for each call, so that a connect allocates nothing.
type connector struct {
	in4  unix.SockaddrInet4
	in6  unix.SockaddrInet6
	path unix.SockaddrUnix
}

func (c *connector) connect(fd int32, addr []byte) syscall.Errno {
	sa, err := c.parse(addr)
	if err == nil {
		err = unix.Connect(int(fd), sa)
		c.path.Name = "" // it is the operation's memory
	}
	return errnoOf(err)
}

// parse makes of a raw socket address the one that x/sys takes. It is valid until the next call, and no longer than raw.
func (c *connector) parse(raw []byte) (unix.Sockaddr, error) {
	if len(raw) < int(unsafe.Offsetof(unix.RawSockaddr{}.Data)) {
		return nil, syscall.EINVAL
	}
	switch as[unix.RawSockaddr](raw).Family {
	case unix.AF_INET:
		if len(raw) < unix.SizeofSockaddrInet4 {
			return nil, syscall.EINVAL
		}
		a := as[unix.RawSockaddrInet4](raw)
		c.in4.Port, c.in4.Addr = port(&a.Port), a.Addr
		return &c.in4, nil
	case unix.AF_INET6:
		if len(raw) < unix.SizeofSockaddrInet6 {
			return nil, syscall.EINVAL
		}
		a := as[unix.RawSockaddrInet6](raw)
		c.in6.Port, c.in6.ZoneId, c.in6.Addr = port(&a.Port), a.Scope_id, a.Addr
		return &c.in6, nil
	case unix.AF_UNIX:
		path := raw[unsafe.Offsetof(unix.RawSockaddrUnix{}.Path):]
		// A path ends with a zero. An abstract name, which only Linux has, begins with one, and any other is part of it.
		if end := bytes.IndexByte(path, 0); end > 0 {
			path = path[:end]
		}
		c.path.Name = unsafe.String(unsafe.SliceData(path), len(path))
		return &c.path, nil
	}
	return nil, syscall.EAFNOSUPPORT
}

// as copies raw to a structure, of which it may be only the beginning. It need not be aligned.
func as[T any](raw []byte) (sa T) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&sa)), unsafe.Sizeof(sa)), raw)
	return sa
}

// port is in network order.
func port(p *uint16) int {
	return int(binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]))
}
