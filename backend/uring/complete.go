//go:build linux

package uring

import (
	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// complete takes one completion of the ring's.
func (p *proactor) complete(data uint64, res int32, flags uint32) {
	switch data & tagMask {
	case tagCancel:
		return // what became of the request it was for, that one's own completion tells
	case tagOwn:
		p.completeOwn(data, res, flags)
		return
	}
	o := p.table.Lookup(tokenOf(data))
	if o == nil || o.State&flying == 0 {
		p.stray(data, res, flags)
		return
	}
	if flags&ring.CQEMore == 0 {
		o.State &^= flying
		p.flying--
	}
	switch {
	case o.State&waiting != 0:
		p.ready(o, res)
	case o.Kind == backend.Recv || o.Kind == backend.Splice:
		p.received(o, res, flags)
	case o.Kind == backend.Send || o.Kind == backend.Write:
		p.sent(o, res)
	case o.Kind == backend.Accept:
		p.accepted(o, res)
	case o.Kind == backend.Connect:
		p.connected(o, res)
	case o.Kind == backend.Read:
		p.read(o, res)
	case o.Kind == backend.Poll:
		p.polled(o, res)
	}
}

// ready is told when the descriptor that o waits for is ready, or the wait has failed.
func (p *proactor) ready(o *ops.Op, res int32) {
	o.State &^= waiting
	switch errno := unix.Errno(-res); {
	case res >= 0:
		o.State |= roused
		p.Begin(o) // even if it is to end
		if o.State&ending != 0 && !isDirect(o) {
			p.cancel(o)
		}
	case errno == unix.ECANCELED || errno == unix.EINTR:
		p.resume(o)
	default:
		p.end(o, errno)
	}
}

// failed handles errors that mean the same for every kind of operation.
func (p *proactor) failed(o *ops.Op, res int32) {
	switch errno := unix.Errno(-res); errno {
	case unix.ECANCELED, unix.EINTR:
		p.resume(o) // there is no result yet, unless it is that o ends
	case unix.EAGAIN:
		// The kernel waits by itself for what it can, but not with every kind of file that does not block.
		p.await(o)
	default:
		p.end(o, errno)
	}
}

// stray takes a completion that belongs to no request of ours. There should be none, and nothing that one might
// carry is to leak.
func (p *proactor) stray(data uint64, res int32, flags uint32) {
	if data&tagMask == tagAccept && res >= 0 {
		unix.Close(int(res))
	}
	if flags&ring.CQEBuffer != 0 {
		if _, lease, err := p.pool.take(flags, int(res)); err != nil {
			p.failure = err
		} else if lease != 0 {
			p.pool.release(lease)
		}
	}
}
