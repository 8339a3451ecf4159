//go:build linux

package uring

import (
	"io"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/internal/zerocopy"
	"golang.org/x/sys/unix"
)

// Splice, a Send of a Lease and SendFile are system calls of their own, for which the ring only tells when the socket is
// ready: the kernel hands each IORING_OP_SPLICE to a worker thread (see io_uring_enter(2), IOSQE_ASYNC), and has no
// request like sendfile(2). A Connect of a Unix socket is one, too; see isLocal.

// pipeLease tells the Lease of a pipe from those of buffers.
const pipeLease = 1 << 31

func pipeOf(l backend.Lease) (number uint32, ok bool) {
	return uint32(l &^ pipeLease), l&pipeLease != 0
}

// isDirect tells whether o is to be carried out by a call rather than a request.
func isDirect(o *ops.Op) bool {
	switch o.Kind {
	case backend.Splice:
		return o.State&(flying|waiting|pipeless) == 0
	case backend.Send:
		return o.Extra.Lease != 0 && o.State&(flying|waiting) == 0
	case backend.SendFile:
		return o.State&(flying|waiting) == 0
	case backend.Connect:
		return o.State&(flying|waiting) == 0 && isLocal(o)
	}
	return false
}

// carryOut makes the calls that can be made. One that would have to wait has a request tell when it need not.
func (p *proactor) carryOut() {
	for n := p.direct.n; n > 0 && p.table.Room() > 0; n-- {
		o := p.table.Lookup(backend.Token(p.direct.pop()))
		if o == nil || !isDirect(o) {
			continue
		}
		p.table.Stats.Syscalls++
		switch {
		case !p.isSocket(o.FD):
			p.end(o, unix.ENOTSOCK)
		case o.Kind == backend.Splice:
			p.splice(o)
		case o.Kind == backend.Send:
			p.sendPipe(o)
		case o.Kind == backend.SendFile:
			p.sendFile(o)
		case o.Kind == backend.Connect:
			p.connectLocal(o)
		}
	}
}

// What ops.FD.State says of a descriptor.
const (
	socket = 1 << iota // it is one: the calls take others, too
	listed             // it is in proactor.recheck
)

// isSocket tells whether f is one, which it finds out once.
func (p *proactor) isSocket(f *ops.FD) bool {
	if f.State&socket == 0 {
		p.table.Stats.Syscalls++
		if _, err := unix.GetsockoptInt(int(f.Num), unix.SOL_SOCKET, unix.SO_TYPE); err == unix.ENOTSOCK {
			return false
		}
		f.State |= socket
	}
	return true
}

func (p *proactor) splice(o *ops.Op) {
	pipe, n, ok, errno := p.pipes.Take(o.FD.Num)
	switch {
	case !ok:
		o.State |= pipeless
		p.feeds++
		p.Begin(o)
		if o.State&ending != 0 {
			p.cancel(o)
		}
	case n > 0:
		p.table.Finish(o, n, nil, nil, pipeLease|backend.Lease(pipe))
	case errno == 0:
		p.end(o, io.EOF)
	default:
		p.failed(o, -int32(errno))
	}
}

func (p *proactor) sendPipe(o *ops.Op) {
	pipe, ok := pipeOf(o.Extra.Lease)
	if !ok || !p.pipes.Lends(pipe) {
		p.end(o, backend.ErrNoPipe)
		return
	}
	n, errno := p.pipes.Send(pipe, o.FD.Num)
	p.moved(o, n, p.pipes.Left(pipe) == 0, errno)
}

func (p *proactor) sendFile(o *ops.Op) {
	x := o.Extra
	left := x.File.Size - x.Moved
	n, errno := 0, unix.Errno(0)
	if left > 0 {
		n, errno = zerocopy.SendFile(o.FD.Num, int32(x.File.FD), x.File.Offset+int64(x.Moved), min(left, zerocopy.MaxFile), &x.End)
		if n == 0 && errno == 0 {
			p.end(o, io.EOF)
			return
		}
	}
	p.moved(o, n, n == left, errno)
}

// moved notes what a call has moved of o, which is over or has to go on.
func (p *proactor) moved(o *ops.Op, n int, all bool, errno unix.Errno) {
	o.Extra.Moved += n
	if n > 0 {
		o.State &^= roused
	}
	switch {
	case errno != 0:
		p.failed(o, -int32(errno))
	case all:
		p.table.Finish(o, o.Extra.Moved, nil, nil, 0)
	default:
		p.resume(o)
	}
}
