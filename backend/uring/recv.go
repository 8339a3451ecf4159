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
		o.State &^= suspect | roused
		p.table.Emit(o, int(res), data, lease)
		if o.State&flying != 0 {
			p.recheckLater(o.FD)
		}
		p.goOn(o)
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
	switch kept := o.State&roused != 0 && p.pool.given > 0 && !p.pool.fresh; {
	case o.State&ending != 0 && (kept || o.State&sated != 0 || !p.pool.stocked() || o.Cause() == backend.ErrClosed):
		p.end(o, o.Cause())
		return
	case o.State&ending != 0: // not yet: there is a buffer for it
		o.State &^= ending
		p.cancels.push(uint64(o.Token()))
	case kept:
		p.rest(o) // the kernel has buffers, but none for o: old kernels keep one for each receive that waits
		return
	}
	p.pool.grow()
	if len(p.pool.free) == 0 {
		p.table.Stats.Starved++
	}
	if p.parked.full() { // perhaps with operations that have ended while they waited
		p.parked.keep(func(token uint64) bool {
			o := p.table.Lookup(backend.Token(token))
			return o != nil && o.State&starved != 0
		})
	}
	o.State |= starved
	if o.Multishot && p.table.Emitted(o.FD) {
		p.later.push(uint64(o.Token()))
		return
	}
	p.parked.push(uint64(o.Token()))
}

// parkLater has the receives that have reported something in the last Poll wait for buffers like the others.
func (p *proactor) parkLater() {
	for !p.later.empty() {
		p.parked.push(p.later.pop())
	}
}

// feed lets those go on that waited for a buffer: as many as may find one, in the order in which they came. One that
// finds none after all comes back and waits again.
func (p *proactor) feed() {
	if p.table.Room() == 0 {
		return // completions that were not read may have used up the buffers
	}
	for n := p.pool.serves(); n > 0 && !p.parked.empty() && !p.ring.Full(); {
		if o := p.table.Lookup(backend.Token(p.parked.pop())); o != nil && o.State&starved != 0 {
			o.State = o.State&^starved | roused
			p.Begin(o)
			p.feeds++
			n--
		}
	}
}

// fed reports whether a receive in parked can go on.
func (p *proactor) fed() bool { return !p.parked.empty() && p.pool.stocked() }
