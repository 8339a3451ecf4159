//go:build unix

package readiness

import (
	"syscall"

	"github.com/eyewall/eyewall/backend/internal/ops"
)

// send sends what is left of the operation's bytes, as much as goes.
func (b *Backend) send(f *ops.FD, o *ops.Op) {
	x := o.Extra
	if x.Lease != 0 {
		b.sendPipe(f, o)
		return
	}
	b.table.Stats.Syscalls++
	if x.Bufs != nil {
		n, more, e := b.gather.send(f.Num, x.Bufs, x.Moved)
		b.wrote(f, o, n, more, e)
		return
	}
	n, e := sendFD(f.Num, x.Buf[x.Moved:])
	b.wrote(f, o, n, x.Moved+n < len(x.Buf), e)
}

// write writes what is left of the operation's bytes, as much as goes.
func (b *Backend) write(f *ops.FD, o *ops.Op) {
	b.table.Stats.Syscalls++
	x := o.Extra
	n, e := writeFD(f.Num, x.Buf[x.Moved:])
	b.wrote(f, o, n, x.Moved+n < len(x.Buf), e)
}

// wrote notes that n bytes more of o went out. With more to come it is tried again, up to EAGAIN: that makes sure of an
// event when there is room again.
func (b *Backend) wrote(f *ops.FD, o *ops.Op, n int, more bool, e syscall.Errno) {
	if e != 0 {
		b.failed(f, o, Writable, e)
		return
	}
	o.State |= tried
	o.Extra.Moved += n
	if !more {
		b.finish(o, o.Extra.Moved, nil)
	}
}
