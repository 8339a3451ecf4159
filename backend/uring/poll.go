//go:build linux

package uring

import (
	"fmt"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

func (p *proactor) Poll(dst []backend.Completion, until time.Duration) (int, error) {
	if p.state != started {
		return 0, backend.ErrClosed
	}
	p.table.BeginPoll(dst)
	p.parkLater()
	keep := 0
	if p.crowded {
		keep = (p.table.Room() + 1) / 2
	}
	p.reap(keep)
	if keep == 0 && p.collected() && !p.fed() {
		p.settleCancels(0) // no call is needed to find that out
	}
	err := p.turn(until)
	p.crowded = !p.crowded && p.table.Room() == 0 && (!p.direct.empty() || p.fed())
	return p.table.EndPoll(), err
}

// turn submits and collects until there is something to return for.
func (p *proactor) turn(until time.Duration) error {
	mark := uint64(0) // one behind all that a thorough collection has to collect
	late := p.late()
	enough := late + 2*uint(p.table.Live()) // a stream of data that never ends is fed again and again
	for {
		last := mark > 0 && p.marks.came >= mark && (!p.fed() || p.late() >= enough)
		if err := p.collect(); err != nil {
			return err
		}
		if n := p.late(); n != late && n < enough { // these are tried behind the mark
			late, mark = n, 0
		}
		if (!last || p.ends > 0) && p.table.Room() > 0 && (p.backlog() || p.ring.Due()) && p.thorough(until) {
			if mark == 0 {
				mark = p.mark()
			}
			continue
		}
		p.settleCancels(mark)
		p.settleLine()
		var now time.Duration
		if p.table.Filled() == 0 && until > 0 && until != backend.Forever {
			now = p.Now()
		}
		if p.table.Filled() > 0 || p.table.Room() == 0 || now >= until || p.waker.called() {
			p.waker.take()
			p.busy()
			return nil
		}
		if p.backlog() {
			continue
		}
		limit := p.nextRecheck(p.rests.Next(until))
		if limit != backend.Forever {
			now = p.Now()
		}
		if now >= limit {
			p.recheckSome(now)
			continue
		}
		if done, err := p.wait(limit, now); done || err != nil {
			return err
		}
	}
}

// thorough reports whether results that are there have to be collected before Poll returns: a timer of the caller's is due,
// or a cancel is.
func (p *proactor) thorough(until time.Duration) bool {
	return p.refusals == 0 && (p.ends > 0 || p.cancels.waiting(p.table) || until > 0 && until != backend.Forever && p.Now() >= until)
}

// late counts the requests that may be made in the course of a Poll for operations that had none before.
func (p *proactor) late() uint { return p.feeds + p.table.Begins() }

// collect submits the pending requests and reads the completions that are ready, without waiting.
func (p *proactor) collect() error {
	p.retryRested()
	p.carryOut()
	p.supply()
	p.feed()
	p.dequeue()
	if p.ring.Pending() > 0 || p.ring.Due() {
		p.table.Stats.Syscalls++
		if err := p.entered(p.ring.Submit()); err != nil {
			return err
		}
	}
	p.reap(0)
	return p.failure
}

// backlog reports whether there is something to submit.
func (p *proactor) backlog() bool {
	return !p.direct.empty() || p.ring.Pending() > 0 || !p.queue.empty() || p.fed()
}

// wait blocks until there is a completion, until the given time, or until it is woken, which ends the turn.
func (p *proactor) wait(until, now time.Duration) (done bool, err error) {
	limit := time.Duration(-1)
	if until != backend.Forever {
		limit = until - now
	}
	if p.waker.sleep() {
		p.table.Stats.Syscalls++
		p.table.Stats.Waits++
		err = p.entered(p.ring.Wait(limit))
		p.reap(0)
	}
	return p.waker.take(), err
}

// The kernel refuses a call if memory is short, or if too many completions wait. The call is made again after a pause.
const (
	mostRefusals = 100                   // in a row, after which the backend is broken: that takes some 4 s
	firstPause   = 20 * time.Microsecond // it doubles with each refusal
)

var longestPause = 50 * time.Millisecond // a variable for tests

// entered looks at how a call of the ring's ended.
func (p *proactor) entered(errno unix.Errno) error {
	if p.ring.Pending() == 0 {
		p.arena.Reset()
	}
	switch errno {
	case 0, unix.EINTR, unix.ETIME:
		p.refusals = 0
		return nil
	case unix.EAGAIN, unix.EBUSY, unix.ENOMEM:
		return p.refused(errno) // what was not taken stays pending
	}
	return &ring.Error{Call: "io_uring_enter", Errno: errno}
}

// refused pauses after a refusal. It is an error if there were too many, with no completion in between.
func (p *proactor) refused(errno unix.Errno) error {
	if p.refusals++; p.refusals > mostRefusals {
		return fmt.Errorf("%w, %d times in a row", &ring.Error{Call: "io_uring_enter", Errno: errno}, p.refusals)
	}
	pause := unix.NsecToTimespec(int64(min(firstPause<<min(p.refusals-1, 20), longestPause)))
	unix.Nanosleep(&pause, nil)
	return nil
}

// reap reads completions while there is room for more than keep results. The rest stays in the ring.
func (p *proactor) reap(keep int) {
	seen := false
	for p.table.Room() > keep {
		c := p.ring.Next()
		if c == nil {
			p.pool.fresh = false
			break
		}
		p.complete(c.UserData, c.Res, c.Flags)
		seen = true
	}
	if seen {
		p.ring.Seen()
		p.refusals = 0
	}
}
