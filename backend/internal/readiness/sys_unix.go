//go:build unix

package readiness

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// Read and Write are for anything: what they meet may block, if its owner or the kernel does not keep to what
// non-blocking means, as with files.

func readFD(fd int32, p []byte) (int, syscall.Errno) {
	n, err := unix.Read(int(fd), p)
	return n, errnoOf(err)
}

func writeFD(fd int32, p []byte) (int, syscall.Errno) {
	n, err := unix.Write(int(fd), p)
	return n, errnoOf(err)
}

// closeFD closes fd; with SO_LINGER that can block.
func closeFD(fd int) error {
	err := unix.Close(fd)
	if err == unix.EINTR { // it is closed nevertheless, or will be
		return nil
	}
	return err
}

// pollFD is poll(2) for events of fd, which waits for nothing.
func pollFD(fd int32, events int16) (int16, error) {
	p := [1]unix.PollFd{{Fd: fd}}
	set(&p[0].Events, events)
	for {
		_, err := unix.Poll(p[:], 0)
		if err != unix.EINTR {
			return int16(p[0].Revents), err
		}
	}
}

func set[T int16 | uint16](p *T, events int16) { *p = T(events) } // AIX has unsigned ones

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return syscall.EIO
}
