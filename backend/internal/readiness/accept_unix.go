//go:build unix && !dragonfly && !freebsd && !illumos && (!linux || eyewall_portable)

package readiness

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptFD has no accept4. No child is forked between its calls, which would inherit the descriptor.
func acceptFD(fd int32) (int, syscall.Errno) {
	syscall.ForkLock.RLock()
	n, _, err := unix.Accept(int(fd))
	if err == nil {
		unix.CloseOnExec(n)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, errnoOf(err)
	}
	if err := unix.SetNonblock(n, true); err != nil {
		unix.Close(n)
		return -1, errnoOf(err)
	}
	return n, 0
}
