//go:build unix && !solaris && !illumos

package sock

import "golang.org/x/sys/unix"

// ReusePort lets several sockets listen on one address, all of which have it set.
func ReusePort(fd int) error { return SetInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }
