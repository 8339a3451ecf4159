package zerocopy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// SendFile sends up to n bytes of a regular file, from offset on, to a socket, as many as there is room for: 0 where the
// file has ended. Where they are not in memory it waits for the disk.
func SendFile(socket, file int32, offset int64, n int) (int, syscall.Errno) {
	n, err := unix.Sendfile(int(socket), int(file), &offset, n)
	if err != nil {
		errno, _ := err.(syscall.Errno)
		return 0, errno
	}
	return n, 0
}
