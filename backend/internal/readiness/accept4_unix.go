//go:build dragonfly || freebsd || illumos

package readiness

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func acceptFD(fd int32) (int, syscall.Errno) {
	n, _, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return n, errnoOf(err)
}
