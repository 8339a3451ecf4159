//go:build unix && !linux

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ofConnection is the errors that are of the connection rather than the listener, of those that POSIX lists for accept.
var ofConnection = []syscall.Errno{unix.ECONNABORTED, unix.EPROTO}
