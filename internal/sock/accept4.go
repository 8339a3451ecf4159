//go:build linux || dragonfly || freebsd || illumos

package sock

import "golang.org/x/sys/unix"

// Accept takes a connection that waits, without waiting itself. It is non-blocking and close-on-exec.
func Accept(fd int) (int, error) {
	n, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return n, err
}
