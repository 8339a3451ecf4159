package readiness

import "golang.org/x/sys/unix"

// isTCP tells whether fd is a stream of bytes that a short read has emptied.
func isTCP(fd int32) bool {
	p, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL)
	return err == nil && p == unix.IPPROTO_TCP
}
