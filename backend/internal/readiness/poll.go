//go:build unix

package readiness

import (
	"net"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// enoughTaken bounds the bytes that a turn receives: what it has received is to be in cache yet when it is used.
const enoughTaken = 128 << 10

// Poll is Backend.Poll.
func (b *Backend) Poll(dst []backend.Completion, until time.Duration) (int, error) {
	if b.closed {
		return 0, net.ErrClosed
	}
	b.table.BeginPoll(dst)
	err := b.poll(until)
	return b.table.EndPoll(), err
}

func (b *Backend) poll(until time.Duration) error {
	wake := b.woken()
	due := until > 0 && until != backend.Forever && b.Now() >= until
	if due || len(b.canceled) > 0 || b.table.LineCanceled() {
		if err := b.look(); err != nil || due || wake || b.table.Filled() > 0 {
			return err
		}
	}
	for {
		if err := b.turn(until, wake); err != nil || b.postponed {
			return err
		}
		b.fireRetry()
		switch {
		case b.table.Filled() > 0 || wake || b.woken():
			return nil
		case until <= 0 || until != backend.Forever && b.Now() >= until:
			return nil
		}
	}
}

// woken reports whether Wake was called since it was last asked.
func (b *Backend) woken() bool { return b.wake.Load() == woken && b.wake.Swap(awake) == woken }

// turn carries out what can be: what was begun, then, unless that gives the caller something to do, what is ready. So a
// write's memory comes back before there is a read, which finds it in cache; and what the caller does next may go out
// before the poller is asked. That comes each second time at least.
func (b *Backend) turn(until time.Duration, wake bool) error {
	t := b.table
	b.taken = 0
	keep := 0
	if b.postponed && b.ready.len()+b.starved.len() > 0 {
		keep = (t.Room() + 1) / 2
	}
	b.serveAll(&b.begun, keep)
	b.endUnseen()
	if b.postponed = t.Filled() > 0 && !b.postponed; b.postponed {
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
	if int(b.round-b.ready.head) > 0 {
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
	block := t.Filled() == 0 && !wake && until > 0 && b.begun.len() == 0 && b.ready.len() == 0 && len(b.ending) == 0
	if !block || !b.quiet {
		if n, _, err := b.ask(0); n > 0 || err != nil || !block {
			return err
		}
	}
	timeout := time.Duration(-1)
	if until = b.retry.Next(until); until != backend.Forever {
		timeout = max(until-b.Now(), 0)
	}
	if !b.wake.CompareAndSwap(awake, asleep) {
		return nil // woken
	}
	t.Stats.Waits++
	n, _, err := b.ask(timeout)
	b.wake.CompareAndSwap(asleep, awake)
	b.quiet = n <= 1
	return err
}

// ask notes what the poller reports. It returns how much that was, and whether there may be more.
func (b *Backend) ask(timeout time.Duration) (n int, more bool, err error) {
	events, more, err := b.wait(timeout)
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
	return len(events), more, err
}

// serveAll serves the descriptors that are in r, each once, while there is more room than keep.
func (b *Backend) serveAll(r *ring, keep int) {
	for n := r.len(); n > 0 && b.table.Room() > keep && !b.sated(); n-- {
		b.serve(r.pop())
	}
}

// sated reports whether the turn has received enough.
func (b *Backend) sated() bool { return b.taken >= enoughTaken && !b.thorough }

// feed lets the starved have the buffers that were released.
func (b *Backend) feed() {
	for b.starved.len() > 0 && b.pool.available() && b.table.Room() > 0 && !b.sated() {
		f := b.starved.pop()
		if f.State&starving != 0 {
			f.State &^= starving
			b.serve(f)
		}
	}
}

// endUnseen ends the operations that need no look. One that was not tried yet is tried before, or waits
// until there is room for that.
func (b *Backend) endUnseen() {
	wait := b.ending[:0]
	for _, t := range b.ending {
		o := b.table.Lookup(t)
		if o != nil && o.State&tried == 0 {
			if b.table.Room() == 0 {
				wait = append(wait, t)
				continue
			}
			b.serve(o.FD)
		}
		b.end(t)
	}
	b.ending = wait
}

// end ends an operation early, if it still is in flight.
func (b *Backend) end(t backend.Token) {
	if o := b.table.Lookup(t); o != nil {
		b.finish(o, o.Moved(), o.Cause())
	}
}
