//go:build unix && !linux && !dragonfly && !freebsd && !illumos

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Accept takes a connection that waits, without waiting itself. It is non-blocking and close-on-exec.
func Accept(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, _, err := unix.Accept(fd)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(n)
	if err := unix.SetNonblock(n, true); err != nil {
		unix.Close(n)
		return -1, err
	}
	return n, nil
}
