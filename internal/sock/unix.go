package sock

import (
	"net"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NewUnix makes a Unix stream socket, non-blocking and close-on-exec.
func NewUnix() (int, error) {
	fd, err := stream(unix.AF_UNIX)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, nil
}

// BindUnix binds the socket to name: a path, or on Linux an abstract name, which begins with '@'. See unix(7).
func BindUnix(fd int, name string) error {
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrUnix{Name: name}))
}

// LocalUnix is the name that the Unix socket is bound to.
func LocalUnix(fd int) *net.UnixAddr { return unixAddr(unix.Getsockname(fd)) }

// RemoteUnix is the name that its peer is bound to.
func RemoteUnix(fd int) *net.UnixAddr { return unixAddr(unix.Getpeername(fd)) }

// unixAddr has no name where that cannot be told, and "@" on Linux where there is none, as package net has it.
func unixAddr(sa unix.Sockaddr, err error) *net.UnixAddr {
	addr := &net.UnixAddr{Net: "unix"}
	if sa, ok := sa.(*unix.SockaddrUnix); ok && err == nil {
		addr.Name = sa.Name
	}
	return addr
}

// RawUnix appends the name of a Unix socket to buf in the form that connect(2) takes.
func RawUnix(buf []byte, name string) ([]byte, error) {
	var sa unix.RawSockaddrUnix
	path := unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path)), len(sa.Path))
	n := copy(path, name)
	abstract := runtime.GOOS == "linux" && n > 0 && name[0] == '@'
	switch {
	case abstract:
		path[0] = 0
	default: // a path ends with a zero
		n++
	}
	if len(name) > n || n > len(path) {
		return nil, os.NewSyscallError("connect", unix.EINVAL)
	}
	size := int(unsafe.Offsetof(sa.Path)) + n
	setFamily(unsafe.Pointer(&sa), unix.AF_UNIX, size)
	return append(buf, unsafe.Slice((*byte)(unsafe.Pointer(&sa)), size)...), nil
}
