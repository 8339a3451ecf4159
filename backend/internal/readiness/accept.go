//go:build unix

package readiness

import (
	"syscall"

	"github.com/eyewall/eyewall/backend/internal/ops"
	"golang.org/x/sys/unix"
)

// accept takes a connection. Nothing but the flag of a listener keeps accept(2) from blocking, and other processes that
// have the listener, too, can take that flag away: os/exec does, for a file that a program is started with. So once f is
// known to listen, accept(2) is called only where there is a connection.
func (b *Backend) accept(f *ops.FD, o *ops.Op) {
	if o.State&tried == 0 && f.State&listening != 0 && !b.acceptable(f, o) {
		return
	}
	b.table.Stats.Syscalls++
	switch fd, e := acceptFD(f.Num); {
	case e == 0 && o.Multishot:
		f.State |= listening
		b.table.Emit(o, fd, nil, 0)
		b.acceptable(f, o)
	case e == 0:
		f.State |= listening
		b.finish(o, fd, nil)
	case e == syscall.ECONNABORTED: // that one is gone; there may be others
		b.acceptable(f, o)
	default:
		b.failed(f, o, Readable, e)
	}
}

// acceptable reports whether f has a connection, or an error; if not, o waits for one.
func (b *Backend) acceptable(f *ops.FD, o *ops.Op) bool {
	b.table.Stats.Syscalls++
	events, err := pollFD(f.Num, unix.POLLIN)
	o.State |= tried
	if err == nil && events == 0 {
		f.State |= drained
		return false
	}
	return true
}
