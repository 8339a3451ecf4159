//go:build unix

package readiness

import (
	"io"
	"syscall"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/internal/zerocopy"
)

// pipeLease tells the Lease of a pipe from those of buffers.
const pipeLease = 1 << 31

func pipeOf(l backend.Lease) (number uint32, ok bool) {
	return uint32(l &^ pipeLease), l&pipeLease != 0
}

// splice receives into a pipe, or, where none is to be had, as a Recv does, from then on.
func (b *Backend) splice(f *ops.FD, o *ops.Op) {
	pipe, n, ok, e := b.pipes.Take(f.Num)
	if !ok {
		o.State |= pipeless
		b.recvLent(f, o)
		return
	}
	b.table.Stats.Syscalls++
	switch {
	case n > 0:
		b.table.Finish(o, n, nil, nil, pipeLease|backend.Lease(pipe))
	case e == 0:
		b.finish(o, 0, io.EOF)
	default:
		b.failed(f, o, Readable, e)
	}
}

// sendPipe sends what is left in a pipe, as much as goes.
func (b *Backend) sendPipe(f *ops.FD, o *ops.Op) {
	pipe, ok := pipeOf(o.Extra.Lease)
	if !ok || !b.pipes.Lends(pipe) {
		b.finish(o, 0, backend.ErrNoPipe)
		return
	}
	b.table.Stats.Syscalls++
	n, e := b.pipes.Send(pipe, f.Num)
	b.wrote(f, o, n, b.pipes.Left(pipe) > 0, e)
}

// sendFile sends what is left of a part of a file, as much as goes.
func (b *Backend) sendFile(f *ops.FD, o *ops.Op) {
	x := o.Extra
	left := x.File.Size - x.Moved
	switch {
	case !b.isSocket(f): // sendfile(2) takes anything
		b.finish(o, 0, syscall.ENOTSOCK)
		return
	case left == 0:
		b.finish(o, x.Moved, nil)
		return
	}
	b.table.Stats.Syscalls++
	n, e := b.sendFileFD(f.Num, int32(x.File.FD), x.File.Offset+int64(x.Moved), min(left, zerocopy.MaxFile), &x.End)
	if n == 0 && e == 0 {
		b.finish(o, x.Moved, io.EOF)
		return
	}
	b.wrote(f, o, n, n < left, e)
}
