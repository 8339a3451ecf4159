//go:build unix

package readiness

import (
	"syscall"

	"github.com/eyewall/eyewall/backend/internal/ops"
	"golang.org/x/sys/unix"
)

// servePolls finishes the Poll operations of f whose events are there, and has the poller watch for the others'.
func (b *Backend) servePolls(f *ops.FD) {
	var asked int16
	f.Polls(func(o *ops.Op) { asked |= o.Events })
	b.table.Stats.Syscalls++
	are, err := pollFD(f.Num, asked|unix.POLLIN)
	if err == nil && uint16(are)&unix.POLLNVAL != 0 {
		err = syscall.EBADF
	}
	asked = 0
	f.Polls(func(o *ops.Op) {
		switch is := are & (o.Events | unix.POLLERR | unix.POLLHUP); {
		case err != nil:
			b.finish(o, 0, err)
		case is != 0:
			b.finish(o, int(is), nil)
		default:
			o.State |= tried
			asked |= o.Events
		}
	})
	if f.Polled() {
		b.watchPolls(f, asked, are)
	}
}

// watchPolls has f watched for events, of which none is there.
func (b *Backend) watchPolls(f *ops.FD, events, are int16) {
	// A hang-up makes f readable. Where f is readable anyway, and that is not asked for, a poller that reports how it is
	// would report it without end.
	ready := Readable
	if are&unix.POLLIN != 0 && !b.traits.Lasting {
		ready = 0
		b.stall(f)
	}
	if events&unix.POLLOUT != 0 {
		ready |= Writable
	}
	if events&unix.POLLPRI != 0 {
		ready |= Urgent
	}
	err := b.watch(f, ready)
	switch err {
	case nil:
	case syscall.EPERM: // always ready, and yet poll(2) denies it
		b.stall(f)
	default:
		f.Polls(func(o *ops.Op) { b.finish(o, 0, err) })
	}
}
