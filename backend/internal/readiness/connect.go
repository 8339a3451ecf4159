//go:build unix

package readiness

import (
	"syscall"

	"github.com/eyewall/eyewall/backend/internal/ops"
	"golang.org/x/sys/unix"
)

// connect begins to connect, or looks how it went.
func (b *Backend) connect(f *ops.FD, o *ops.Op) {
	b.table.Stats.Syscalls++
	if o.State&connecting != 0 {
		b.connected(f, o)
		return
	}
	o.State |= tried
	switch e := b.connector.connect(f.Num, o.Extra.Addr); e {
	case 0:
		b.finish(o, 0, nil)
	case syscall.EINPROGRESS, syscall.EINTR, syscall.EALREADY: // interrupted, it goes on nevertheless
		o.State |= connecting
		f.State |= full
	case syscall.EAGAIN: // a Unix listener's queue is full, and no event will tell when it is not
		o.State |= resting
		b.stall(f)
	default:
		b.finish(o, 0, e)
	}
}

// connected looks whether the connection is there, for an event may be about something else.
func (b *Backend) connected(f *ops.FD, o *ops.Op) {
	code, err := unix.GetsockoptInt(int(f.Num), unix.SOL_SOCKET, unix.SO_ERROR)
	switch e := syscall.Errno(code); {
	case err != nil:
		b.finish(o, 0, err)
	case e == syscall.EINPROGRESS || e == syscall.EALREADY || e == syscall.EINTR:
		f.State |= full
	case e != 0 && e != syscall.EISCONN:
		b.finish(o, 0, e)
	default:
		b.table.Stats.Syscalls++
		switch events, err := pollFD(f.Num, unix.POLLOUT); {
		case err != nil:
			b.finish(o, 0, err)
		case events&unix.POLLOUT == 0 && events&(unix.POLLERR|unix.POLLHUP) == 0:
			f.State |= full // not yet
		case events&unix.POLLOUT != 0 && events&unix.POLLHUP == 0:
			b.finish(o, 0, nil)
		default: // it came and went
			b.finish(o, 0, syscall.ECONNRESET)
		}
	}
}
