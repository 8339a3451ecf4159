package sock

import (
	"fmt"
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

// BindUnix binds the socket to name: a path, or on Linux an abstract name, which begins with '@' or a zero, or "" for
// a name that the system chooses. See unix(7).
func BindUnix(fd int, name string) error {
	if err := checkUnix("bind", name); err != nil {
		return err
	}
	return os.NewSyscallError("bind", bindUnix(fd, name))
}

// maxUnix is the length of a name, with the zero at a path's end.
const maxUnix = len(unix.RawSockaddrUnix{}.Path)

// checkUnix says of a name for call that is too long how long it may be.
func checkUnix(call, name string) error {
	limit := maxUnix
	if !isAbstract(name) {
		limit--
	}
	if len(name) <= limit {
		return nil
	}
	return fmt.Errorf("the name of a Unix socket has %d bytes, and may have %d: %w",
		len(name), limit, os.NewSyscallError(call, unix.EINVAL))
}

func isAbstract(name string) bool {
	return runtime.GOOS == "linux" && name != "" && (name[0] == '@' || name[0] == 0)
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
	if err := checkUnix("connect", name); err != nil {
		return nil, err
	}
	var sa unix.RawSockaddrUnix
	path := unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path)), len(sa.Path))
	n := copy(path, name)
	if isAbstract(name) {
		path[0] = 0
	} else { // a path ends with a zero
		n++
	}
	size := int(unsafe.Offsetof(sa.Path)) + n
	setFamily(unsafe.Pointer(&sa), unix.AF_UNIX, size)
	return append(buf, unsafe.Slice((*byte)(unsafe.Pointer(&sa)), size)...), nil
}
