//go:build linux

package uring

import (
	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
)

// A real result beats a cancel (law 5). But the kernel carries out a cancel at once, and before the results that it has
// only noted down: it turns those into completions in later calls, some twenty in each. So a cancel is handed to the kernel
// only when everything that the kernel had before is collected. That is so
//
//   - when a collection was complete: all completions were read, and the kernel says that it has no others; or
//   - when a mark has come back, which the kernel reports behind everything that it had when it got the mark.
//
// The second way is for a backend so busy that no collection is ever complete.
//
// Requests that the kernel has not been given yet need no such care: it takes entries in their order and tries each before
// it takes the next one, so that a cancel behind a request comes after its first try.

// cancels is the operations to end if they have no result yet, in the order in which that was asked for.
type cancels struct {
	fifo          // tokens, also of receives to begin anew, which have the state suspect
	marked uint   // so many of them, the first, wait for mark number at
	at     uint64 // 0 if no mark is waited for
	line   uint64 // the marks that were asked for when operations in line were last looked at
}

// waiting reports whether a cancel waits for the results that are there, be it of an operation that waits in line.
func (c *cancels) waiting(t *ops.Table) bool { return !c.empty() || t.LineCanceled() }

// marks counts the marks that the kernel was given, or is to be given by way of queue, and those that came back.
type marks struct{ sent, came uint64 }

// mark has the kernel report a mark, and returns its number.
func (p *proactor) mark() uint64 {
	if !p.queue.empty() || !p.requestMark() {
		p.queue.push(tagOwn | ownMark)
	}
	p.marks.sent++
	return p.marks.sent
}

func (p *proactor) requestMark() bool {
	e := p.ring.SQE()
	if e == nil {
		return false
	}
	p.ring.PrepMark(e)
	e.UserData = tagOwn | ownMark
	p.flying++
	return true
}

// marked notes that a mark came back.
func (p *proactor) marked() {
	p.marks.came++
	c := &p.cancels
	if c.at > 0 && p.marks.came >= c.at {
		p.carryCancels(c.marked)
	}
	if p.marks.came > c.line && p.table.LineCanceled() {
		p.table.CancelStuck(p.stuck)
		c.line = p.marks.sent
	}
}

// stuck reports whether o, which was the first of its queue when the mark that came was asked for, has no result.
func (p *proactor) stuck(o *ops.Op) bool {
	return o.State&(flying|resting) != 0 || o.State&starved != 0 && !p.pool.stocked()
}

// collected reports whether all that the kernel had to report has been read.
func (p *proactor) collected() bool { return p.table.Room() > 0 && !p.ring.Due() }

// settleCancels carries the cancels out if the results that they could have beaten are collected. Otherwise it makes
// sure that there is a mark for them; mark is one that was asked for since they came, or 0.
func (p *proactor) settleCancels(mark uint64) {
	switch c := &p.cancels; {
	case !c.waiting(p.table):
	case p.collected():
		p.carryCancels(c.n)
	case c.at == 0:
		if mark == 0 {
			mark = p.mark()
		}
		c.marked, c.at = c.n, mark
	}
}

// settleLine carries out the cancels of operations in line once those ahead of them have been tried, and their results are
// collected: bytes or connections that these leave over may be a result of one behind them.
func (p *proactor) settleLine() {
	if p.table.LineCanceled() && p.collected() && !p.backlog() {
		p.table.CancelLine()
		p.settleCancels(0) // of one that has begun since
	}
}

// carryCancels carries out the first n cancels.
func (p *proactor) carryCancels(n uint) {
	p.cancels.marked, p.cancels.at = 0, 0
	for ; n > 0; n-- {
		switch o := p.table.Lookup(backend.Token(p.cancels.pop())); {
		case o == nil: // it had a result
		case o.Aborted():
			p.endSoon(o)
		case o.State&(suspect|flying) == suspect|flying:
			o.State &^= suspect
			p.cancel(o) // which nobody has asked for, so that it begins anew
		}
	}
}

// endSoon ends o after one more try, unless the kernel is at it already.
func (p *proactor) endSoon(o *ops.Op) {
	switch {
	case o.State&ending != 0:
		return
	case o.State&starved != 0 && p.pool.stocked(): // not yet: feed has a buffer for it
		p.cancels.push(uint64(o.Token()))
		return
	}
	o.State |= ending
	if o.State&(starved|resting) != 0 {
		o.State = o.State&^(starved|resting) | roused
		p.Begin(o)
	}
	if !isDirect(o) {
		p.cancel(o)
	}
}

// Abort is ops.Engine's. The operation ends with a result if there is one when its turn comes in cancels, unless it need
// not be looked at for one.
func (p *proactor) Abort(o *ops.Op) {
	if !p.table.AbortsAtOnce(o) {
		p.cancels.push(uint64(o.Token()))
		return
	}
	o.State |= ending
	switch {
	case o.State&flying != 0:
		p.cancel(o)
	case isDirect(o) && o.State&resting == 0:
		// carryOut tries it first.
	default:
		p.end(o, o.Cause()) // it waits in a fifo, where its token will find nothing
	}
}

// cancel cancels o's request, or the one that it has in queue. By its user data: the kernel finds that in a hash table,
// while a cancel by descriptor looks at every request there is.
func (p *proactor) cancel(o *ops.Op) {
	if !p.queue.empty() || !p.requestCancel(userData(o)) {
		p.queue.push(uint64(o.Token()) | tagCancel)
		p.ends++
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
