//go:build unix

package readiness

import (
	"net"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
)

// enoughTaken bounds the bytes that a turn receives: what it has received is to be in cache yet when it is used.
const enoughTaken = 128 << 10

// Poll is Backend.Poll.
func (b *Backend) Poll(dst []backend.Completion, until time.Duration) (int, error) {
	if b.closed {
		return 0, net.ErrClosed
	}
	t := b.table
	t.BeginPoll(dst)
	wake := b.wake.Load() == woken && b.wake.Swap(awake) == woken
	for {
		b.taken = 0
		if err := b.turn(until, wake, b.due()); err != nil {
			return t.EndPoll(), err
		}
		if b.postponed {
			break
		}
		b.expire()
		b.endAborted()
		if t.Filled() > 0 || wake {
			break
		}
		if b.wake.Load() == woken && b.wake.Swap(awake) == woken {
			break
		}
		if until <= 0 || until != backend.Forever && b.Now() >= until {
			break
		}
	}
	return t.EndPoll(), nil
}

// turn carries out what can be: what was begun, then, unless that gives the caller something to do, what is ready. So a
// write's memory comes back before there is a read, which finds it in cache; and what the caller does next may go out
// before the poller is asked. That comes each second time at least, and at once if something is to end early: it is then
// looked whether there is a real result.
func (b *Backend) turn(until time.Duration, wake, due bool) error {
	t := b.table
	keep := 0
	if b.postponed && b.ready.len()+b.starved.len() > 0 {
		keep = (t.Room() + 1) / 2
	}
	b.serveAll(&b.begun, keep)
	if b.postponed = t.Filled() > 0 && !b.postponed && !due; b.postponed {
		return nil
	}
	b.odd = !b.odd
	if b.odd { // as either can take all the room
		b.feed()
	}
	b.serveAll(&b.ready, 0)
	if !b.odd {
		b.feed()
	}
	if int(b.round-b.ready.head) > 0 && !due {
		return nil // not all that the poller reported last has had its turn
	}
	if err := b.await(until, wake); err != nil {
		return err
	}
	b.serveAll(&b.ready, 0)
	return nil
}

// await asks the poller for what is ready. It blocks, until the given time at the latest, when there is nothing else
// to do.
func (b *Backend) await(until time.Duration, wake bool) error {
	t := b.table
	block := t.Filled() == 0 && !wake && until > 0 && b.begun.len() == 0 && b.ready.len() == 0 && len(b.aborts) == 0
	if !block || !b.quiet {
		if n, err := b.ask(0); n > 0 || err != nil || !block {
			return err
		}
	}
	timeout := time.Duration(-1)
	if until = b.retry.next(t.NextDeadline(until)); until != backend.Forever {
		timeout = max(until-b.Now(), 0)
	}
	if !b.wake.CompareAndSwap(awake, asleep) {
		return nil // woken
	}
	t.Stats.Waits++
	n, err := b.ask(timeout)
	b.wake.CompareAndSwap(asleep, awake)
	b.quiet = n <= 1
	return err
}

// ask notes what the poller reports, and returns how much that was.
func (b *Backend) ask(timeout time.Duration) (int, error) {
	b.table.Stats.Syscalls++
	events, err := b.poller.Wait(timeout)
	for i := range events {
		e := &events[i]
		f := b.table.FD(int(e.FD))
		// An event is never for an earlier use of the number: a descriptor is forgotten before it is closed, and all
		// events of one Wait are noted here before anything is closed.
		f.State = f.State&^(uint32(e.Ready)&blocked) | uint32(e.Ready&Ended)
		if !b.traits.Lasting {
			f.State &^= uint32(e.Ready) << watchedShift & watched
		}
		b.push(&b.ready, f)
	}
	b.round = b.ready.tail
	return len(events), err
}

// serveAll serves the descriptors that are in r, each once, while there is more room than keep.
func (b *Backend) serveAll(r *ring, keep int) {
	for n := r.len(); n > 0 && b.table.Room() > keep && b.taken < enoughTaken; n-- {
		b.serve(r.pop())
	}
}

// feed lets the starved have the buffers that were released.
func (b *Backend) feed() {
	for b.starved.len() > 0 && b.pool.available() && b.table.Room() > 0 && b.taken < enoughTaken {
		f := b.starved.pop()
		if f.State&starving != 0 {
			f.State &^= starving
			b.serve(f)
		}
	}
}

// due tells whether an operation is to end early.
func (b *Backend) due() bool {
	if len(b.aborts) > 0 {
		return true
	}
	next := b.table.NextDeadline(backend.Forever)
	return next != backend.Forever && next <= b.Now()
}

// expire notes the operations whose deadline has come, and descriptors that are to be tried again.
func (b *Backend) expire() {
	if b.table.NextDeadline(backend.Forever) == backend.Forever && len(b.retry.list) == 0 {
		return
	}
	now := b.Now()
	b.expiring = true
	b.table.Expire(now)
	b.expiring = false
	if len(b.retry.list) > 0 && b.retry.at <= now {
		b.fireRetry()
	}
}

// endAborted ends the operations that are to end early.
func (b *Backend) endAborted() {
	for i := 0; i < len(b.aborts); i++ { // what ends here may let others begin, and end, in turn
		if o := b.table.Lookup(b.aborts[i]); o != nil {
			b.end(o)
		}
	}
	b.aborts = b.aborts[:0]
}

// end ends an operation early. A last try lets a real result win.
func (b *Backend) end(o *ops.Op) {
	token := o.Token()
	if b.lastTry(o); b.table.Lookup(token) == o {
		b.finish(o, o.Moved(), o.Cause())
	}
}

// lastTry tries an operation that was never tried, or that is known to be able to go on.
func (b *Backend) lastTry(o *ops.Op) {
	f := o.FD
	if b.closed || b.table.Room() == 0 || o.Kind == backend.Connect || o.State&tried != 0 && o.Cause() == backend.ErrClosed {
		return
	}
	switch o {
	case f.Writing():
		if f.State&full == 0 {
			b.tryWriting(f, o)
		}
	case f.Reading():
		if f.State&drained == 0 || o.State&tried == 0 {
			b.tryReading(f, o)
		}
	default:
		b.servePolls(f)
	}
}
