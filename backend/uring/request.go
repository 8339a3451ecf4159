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
	tagOwn    = 3 << 30 // the backend's own: in place of a token there is one of those below

	ownWake = 0       // the wake-up
	ownMark = 1 << 20 // a mark; in between, 1 + the id of a buffer

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
	flying  = 1 << iota // it has a request in the kernel
	waiting             // its request, or the next one, waits until the descriptor is ready, to start over then
	starved             // it is in proactor.parked, waiting for a buffer
	resting             // it is in proactor.rests, to be tried again after a while
	roused              // its request follows a wait that has ended
	ending              // it is to end: its request is the last one
	sated               // a multishot that is to end and has had a result since that was asked for
	ofKind              // see below
)

// The last bit of ops.Op.State has a meaning for each kind.
const (
	again    = ofKind // of a Connect: it was begun by an earlier request
	edge     = ofKind // of a Poll: its request reports every change
	pipeless = ofKind // of a Splice: there is no pipe for it, so that it is a Recv
	suspect  = ofKind // of a Recv: it may have missed something, and has reported nothing since that was seen
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
	if o.State&ending != 0 {
		p.end(o, o.Cause())
	} else {
		p.Begin(o)
	}
}

// goOn has a multishot go on after a result. That is all it needed to have if it was canceled: it may have others for ever.
func (p *proactor) goOn(o *ops.Op) {
	switch {
	case o.State&flying == 0 && o.Aborted():
		p.end(o, o.Cause())
	case o.State&flying == 0:
		p.Begin(o)
	case o.Aborted() && o.State&sated == 0:
		o.State |= ending | sated
		p.cancel(o)
	}
}

// await has o start over when its descriptor is ready. If it was ready the last time, and that was of no use, it would be
// ready again at once and for ever: then o starts over after a while.
func (p *proactor) await(o *ops.Op) {
	if o.State&roused != 0 {
		p.rest(o)
		return
	}
	o.State |= waiting
	p.resume(o)
}

// rest has o start over after a while.
func (p *proactor) rest(o *ops.Op) {
	if o.State&ending != 0 {
		p.end(o, o.Cause())
		return
	}
	o.State |= resting
	p.rests.Add(o.Token(), p.Now())
}

// retryRested has those start over that have rested, if it is time.
func (p *proactor) retryRested() {
	if p.rests.Empty() {
		return
	}
	p.rests.Fire(p.Now(), func(t backend.Token) {
		if t == 0 {
			p.pool.refused = false
		} else if o := p.table.Lookup(t); o != nil && o.State&resting != 0 {
			o.State &^= resting | roused
			p.Begin(o)
		}
	})
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

// dequeue makes the requests that found no room, as far as there is some now.
func (p *proactor) dequeue() {
	for !p.queue.empty() {
		data := p.queue.first()
		if data&tagMask == tagOwn {
			if p.ring.Full() {
				return
			}
			if data == tagOwn|ownMark {
				p.requestMark()
			} else {
				p.armWake()
			}
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
		if p.queue.pop()&tagMask == tagCancel {
			p.ends--
		}
	}
}
