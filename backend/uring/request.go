//go:build linux

package uring

import (
	"unsafe"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// The user data of a request is the token of its operation, with a tag in two bits of the slot that slots do not reach.
// It is no pointer: what comes late, or not from us, finds no operation of its generation.
const (
	tagMask   = 3 << 30
	tagOp     = 0 << 30 // a request of an operation
	tagAccept = 1 << 30 // the same, and its result is a descriptor
	tagCancel = 2 << 30 // the cancel of an operation's request
	tagOwn    = 3 << 30 // the backend's own: in place of a token 0 for the wake-up, or 1 + the id of a buffer

	maxOps = 1<<30 - 1<<10
)

func userData(o *ops.Op) uint64 {
	if o.Kind == backend.Accept {
		return uint64(o.Token()) | tagAccept
	}
	return uint64(o.Token()) | tagOp
}

func tokenOf(data uint64) backend.Token { return backend.Token(data &^ tagMask) }

// What ops.Op.State says of an operation.
const (
	flying   = 1 << iota // it has a request in the kernel
	waiting              // its request, or the next one, waits until the descriptor is ready, to start over then
	edge                 // a Poll whose request tells of every change
	again                // a Connect that was begun by an earlier request
	pipeless             // a Splice for which there is no pipe, so that it is a Recv
)

// Begin is ops.Engine's.
func (p *proactor) Begin(o *ops.Op) {
	if isDirect(o) {
		p.direct.push(uint64(o.Token()))
		return
	}
	if !p.queue.empty() || !p.request(o) {
		p.queue.push(userData(o))
	}
}

// resume makes another request for o, whose last one has ended, unless o is to end.
func (p *proactor) resume(o *ops.Op) {
	if o.Aborted() {
		p.end(o, o.Cause())
	} else {
		p.Begin(o)
	}
}

// await has o start over when its descriptor is ready.
func (p *proactor) await(o *ops.Op) {
	o.State |= waiting
	p.resume(o)
}

// end finishes o with an error, having moved what it has.
func (p *proactor) end(o *ops.Op, err error) {
	n := 0
	if o.Kind == backend.Send || o.Kind == backend.SendFile || o.Kind == backend.Write {
		n = o.Moved()
	}
	p.table.Finish(o, n, err, nil, 0)
}

// request fills an entry for o. It returns false where there is no room, in the queue or for what the entry refers to.
func (p *proactor) request(o *ops.Op) bool {
	if p.ring.Full() {
		return false
	}
	var refers unsafe.Pointer // what the entry refers to in the arena
	switch {
	case o.State&waiting != 0:
	case o.Kind == backend.Connect:
		if refers = p.address(o); refers == nil {
			return false
		}
	case o.Kind == backend.Send && o.Extra.Bufs != nil:
		if refers = p.gather(o); refers == nil {
			return false
		}
	}
	e, fd := p.ring.SQE(), o.FD.Num
	e.UserData = userData(o)
	switch {
	case o.State&waiting != 0:
		e.PrepPoll(fd, readiness(o.Kind), false)
	case o.Kind == backend.Recv || o.Kind == backend.Splice:
		p.prepRecv(e, o)
	case o.Kind == backend.Send && refers != nil:
		e.PrepSendmsg(fd, (*ring.Msghdr)(refers))
	case o.Kind == backend.Send:
		e.PrepSend(fd, o.Extra.Buf[o.Extra.Moved:])
	case o.Kind == backend.Accept:
		e.PrepAccept(fd, o.Multishot && p.rung.multishot)
	case o.Kind == backend.Connect:
		e.PrepConnect(fd, refers, len(o.Extra.Addr))
	case o.Kind == backend.Read:
		e.PrepRead(fd, o.Extra.Buf)
	case o.Kind == backend.Write:
		e.PrepWrite(fd, o.Extra.Buf[o.Extra.Moved:])
	case o.Kind == backend.Poll:
		e.PrepPoll(fd, uint32(uint16(o.Events)), o.State&edge != 0)
	}
	o.State |= flying
	p.flying++
	return true
}

// readiness is what an operation of that kind waits for in its descriptor.
func readiness(k backend.Kind) uint32 {
	switch k {
	case backend.Connect, backend.Send, backend.SendFile, backend.Write:
		return unix.POLLOUT
	}
	return unix.POLLIN
}

// Abort is ops.Engine's. The request's own completion decides: if it has a result, that is o's.
func (p *proactor) Abort(o *ops.Op) {
	if isDirect(o) {
		return // carryOut tries it first
	}
	if o.State&flying == 0 {
		p.end(o, o.Cause()) // it waits in a fifo, where its token will find nothing
		return
	}
	p.cancel(o)
}

// cancel cancels o's request. By its user data: the kernel finds that in a hash table, while a cancel by descriptor
// looks at every request there is.
func (p *proactor) cancel(o *ops.Op) {
	if !p.queue.empty() || !p.requestCancel(userData(o)) {
		p.queue.push(uint64(o.Token()) | tagCancel)
	}
}

func (p *proactor) requestCancel(target uint64) bool {
	e := p.ring.SQE()
	if e == nil {
		return false
	}
	e.PrepCancel(target, p.can.skip)
	e.UserData = target&^tagMask | tagCancel
	return true
}

// dequeue makes the requests that found no room, as far as there is some now.
func (p *proactor) dequeue() {
	for !p.queue.empty() {
		data := p.queue.first()
		if data == tagOwn {
			if p.ring.Full() {
				return
			}
			p.armWake()
		} else if o := p.table.Lookup(tokenOf(data)); o != nil {
			made := false
			if data&tagMask == tagCancel {
				made = o.State&flying == 0 || p.requestCancel(userData(o))
			} else {
				made = p.request(o)
			}
			if !made {
				return
			}
		}
		p.queue.pop()
	}
}
