//go:build linux

package uring

import (
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
	err := p.turn(until)
	return p.table.EndPoll(), err
}

// turn submits and collects until there is something to return for.
func (p *proactor) turn(until time.Duration) error {
	for {
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
		p.reap()
		if p.failure != nil {
			return p.failure
		}
		var now time.Duration
		first := p.table.NextDeadline(backend.Forever)
		if first != backend.Forever || p.table.Filled() == 0 && until > 0 && until != backend.Forever {
			now = p.Now()
			if first <= now {
				p.table.Expire(now)
				if p.table.Filled() == 0 && p.ring.Pending() > 0 {
					continue
				}
			}
		}
		if p.table.Filled() > 0 || p.table.Room() == 0 || now >= until || p.waker.called() {
			p.waker.take()
			p.busy()
			return nil
		}
		if p.backlog() {
			continue
		}
		limit := p.table.NextDeadline(until)
		if len(p.looks.list) > 0 {
			if now = p.Now(); now >= p.looks.at {
				p.look()
				continue
			}
			limit = min(limit, p.looks.at)
		}
		if done, err := p.wait(limit, now); done || err != nil {
			return err
		}
	}
}

// backlog tells whether there is something to submit.
func (p *proactor) backlog() bool {
	return !p.direct.empty() || p.ring.Pending() > 0 || !p.queue.empty() || !p.parked.empty() && p.pool.given > 0
}

// wait blocks until there is a completion, until the given time, or until it is woken, which ends the turn.
func (p *proactor) wait(until, now time.Duration) (done bool, err error) {
	limit := time.Duration(-1)
	if until != backend.Forever {
		limit = max(until-now, 0) // for a negative one has no end
	}
	if p.waker.sleep() {
		p.table.Stats.Syscalls++
		p.table.Stats.Waits++
		err = p.entered(p.ring.Wait(limit))
		p.reap()
	}
	return p.waker.take(), err
}

// entered looks at how a call of the ring's ended.
func (p *proactor) entered(errno unix.Errno) error {
	if p.ring.Pending() == 0 {
		p.arena.Reset()
	}
	switch errno {
	case 0, unix.EINTR, unix.ETIME:
		return nil
	case unix.EAGAIN, unix.EBUSY:
		// Memory is short, or too many completions wait. What was not taken is submitted again after those were read.
		pause := unix.NsecToTimespec(int64(20 * time.Microsecond))
		unix.Nanosleep(&pause, nil)
		return nil
	}
	return &ring.Error{Call: "io_uring_enter", Errno: errno}
}

// reap reads completions while there is room for what they report. The rest stays in the ring.
func (p *proactor) reap() {
	seen := false
	for p.table.Room() > 0 {
		c := p.ring.Next()
		if c == nil {
			break
		}
		p.complete(c.UserData, c.Res, c.Flags)
		seen = true
	}
	if seen {
		p.ring.Seen()
	}
}
