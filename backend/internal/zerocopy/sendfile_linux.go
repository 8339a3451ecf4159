package zerocopy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// SendFile sends up to n bytes of a regular file, from offset on, to a socket, as many as there is room for: 0 where the
// file has ended. Where they are not in memory it waits for the disk. In *end, which is 0 at first, it keeps where the
// file ended when last it looked.
func SendFile(socket, file int32, offset int64, n int, end *int64) (int, syscall.Errno) {
	n, errno := bound(file, offset, n, end)
	if errno != 0 {
		return 0, errno
	}
	n, err := unix.Sendfile(int(socket), int(file), &offset, n)
	if err != nil {
		errno, _ := err.(syscall.Errno)
		return 0, errno
	}
	return n, 0
}

// bound is how many of the n bytes from offset on are asked of sendfile(2): none beyond the end of the file. Before Linux
// 6.5, a call that asks for more keeps the last segment back for up to 200 ms, for what it thinks is to follow; see
// golang/go#41513. A file that has grown is looked at again when its old end is reached. Files of /proc say that they are
// empty, and are asked for all.
func bound(file int32, offset int64, n int, end *int64) (int, syscall.Errno) {
	if offset >= *end {
		var stat unix.Stat_t
		if err := unix.Fstat(int(file), &stat); err != nil {
			errno, _ := err.(syscall.Errno)
			return 0, errno
		}
		*end = stat.Size
	}
	if left := *end - offset; left > 0 {
		n = int(min(int64(n), left))
	}
	return n, 0
}
