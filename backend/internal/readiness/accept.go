//go:build unix

package readiness

import (
	"syscall"

	"github.com/eyewall/eyewall/backend/internal/ops"
)

// accept takes a connection.
func (b *Backend) accept(f *ops.FD, o *ops.Op) {
	b.table.Stats.Syscalls++
	switch fd, e := acceptFD(f.Num); {
	case e == 0 && o.Multishot:
		o.State |= tried
		b.table.Emit(o, fd, nil, 0)
	case e == 0:
		b.finish(o, fd, nil)
	case e == syscall.ECONNABORTED: // that one is gone; there may be others
	default:
		b.failed(f, o, Readable, e)
	}
}
