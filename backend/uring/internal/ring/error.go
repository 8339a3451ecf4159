//go:build linux

package ring

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Error is a system call that failed. It unwraps to the errno.
type Error struct {
	Call  string // such as "io_uring_setup"
	Errno syscall.Errno
}

func (e *Error) Error() string {
	name := unix.ErrnoName(e.Errno)
	if name == "" {
		name = "errno " + strconv.Itoa(int(e.Errno))
	}
	s := name + " from " + e.Call
	switch e.Errno {
	case unix.EPERM, unix.EACCES:
		s += " (seccomp? kernel.io_uring_disabled?)"
	case unix.ENOSYS:
		s += " (this kernel has none)"
	case unix.ENOMEM:
		s += " (RLIMIT_MEMLOCK?)"
	case unix.EEXIST:
		s += " (another thread's ring?)"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Errno }

// failed is an *Error, or nil for no errno.
func failed(call string, errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return &Error{call, errno}
}
