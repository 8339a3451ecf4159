//go:build linux

package uring

import (
	"io"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

func (p *proactor) prepRecv(e *ring.SQE, o *ops.Op) {
	fd := o.FD.Num
	switch {
	case !o.Lent():
		e.PrepRecv(fd, o.Extra.Buf)
	case o.Multishot && p.rung.multishot:
		e.PrepRecvMultishot(fd, bufferGroup)
	default:
		e.PrepRecvSelect(fd, bufferGroup, p.pool.size)
	}
}

// received handles a result of a Recv's request.
func (p *proactor) received(o *ops.Op, res int32, flags uint32) {
	var data []byte
	var lease backend.Lease
	if flags&ring.CQEBuffer != 0 {
		var err error
		if data, lease, err = p.pool.take(flags, int(res)); err != nil {
			p.failure = err
			return
		}
	}
	switch {
	case res > 0 && o.Multishot:
		p.table.Emit(o, int(res), data, lease)
		if o.State&flying == 0 {
			p.resume(o)
		} else {
			p.lookLater(o.FD)
		}
	case res > 0:
		p.table.Finish(o, int(res), nil, data, lease)
	case o.State&flying != 0:
		// Nothing came, and the request goes on.
	case res == 0:
		p.end(o, io.EOF)
	case unix.Errno(-res) == unix.ENOBUFS && o.Lent():
		p.starve(o)
	default:
		p.failed(o, res)
	}
}

// starve has o, for which data has come and no buffer was there, wait for one.
func (p *proactor) starve(o *ops.Op) {
	if o.Aborted() {
		p.end(o, o.Cause())
		return
	}
	p.pool.grow()
	if len(p.pool.free) == 0 {
		p.table.Stats.Starved++
	}
	if p.parked.full() { // perhaps with operations that have ended while they waited
		p.parked.keep(func(token uint64) bool { return p.table.Lookup(backend.Token(token)) != nil })
	}
	p.parked.push(uint64(o.Token()))
}

// feed lets those go on that waited for a buffer: as many as may find one, in the order in which they came. One that
// finds none after all comes back and waits again.
func (p *proactor) feed() {
	for n := p.pool.serves(); n > 0 && !p.parked.empty() && !p.ring.Full(); n-- {
		if o := p.table.Lookup(backend.Token(p.parked.pop())); o != nil {
			p.Begin(o)
		}
	}
}
