package sock

import (
	"errors"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// resources is what accept(2) lacks for a connection, which stays in the queue.
var resources = []syscall.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}

// Transient reports whether err, of accept(2), is about one connection or a lack of resources. Accepting goes on then,
// after a pause: at once it might meet the same. Any other error is about the listening socket, and stays.
func Transient(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && (slices.Contains(resources, errno) || slices.Contains(ofConnection, errno))
}
