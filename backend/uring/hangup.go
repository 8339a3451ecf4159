//go:build linux

package uring

import (
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"golang.org/x/sys/unix"
)

// A multishot receive may never hear of the end of its stream. Where data and the end behind it come at once, the kernel
// takes the two for one: until 2026 whenever that was (liburing's issue 1549), and 6.18.44 yet, as it seems, where both
// come between a receive's first try and its being armed, which made a thousandth of the resets right behind data. Nothing
// else happens to such a connection, so that whoever waits for it waits for ever.
//
// Hence each descriptor on which something has come is looked at once, some time later, when the end would show. One look
// is enough: what comes after it, without data, comes alone.

// lookAfter is how long after data the end is looked for. That costs a busy connection a part of two system calls a
// second, and one that becomes idle a single wake-up.
const lookAfter = 500 * time.Millisecond

// looks is the descriptors to be looked at.
type looks struct {
	list  []*ops.FD // those with the state listed, once each; others have been closed meanwhile
	at    time.Duration
	polls []unix.PollFd
	turns uint32 // since a busy backend looked at the clock
}

const (
	lookBatch = 512  // descriptors in one call
	lookTurns = 1024 // after so many turns that never wait, the clock is looked at
)

// lookLater has f looked at some time after data has come on it.
func (p *proactor) lookLater(f *ops.FD) {
	if f.State&listed != 0 {
		return
	}
	f.State |= listed
	if l := &p.looks; len(l.list) == 0 {
		l.list, l.at, l.turns = append(l.list, f), p.Now()+lookAfter, 0
	} else {
		l.list = append(l.list, f)
	}
}

// busy counts a turn that does not wait, and looks where it is time and none has waited for long.
func (p *proactor) busy() {
	if l := &p.looks; len(l.list) > 0 {
		if l.turns++; l.turns%lookTurns == 0 && p.Now() >= l.at {
			p.look()
		}
	}
}

// look has receives whose peer is gone start over, which then meet the end.
func (p *proactor) look() {
	l := &p.looks
	for i, f := range l.list {
		l.list[i] = nil
		if f.State&listed != 0 {
			f.State &^= listed
			l.polls = append(l.polls, unix.PollFd{Fd: f.Num, Events: unix.POLLRDHUP})
		}
		if len(l.polls) == lookBatch || i == len(l.list)-1 {
			p.lookAt(l.polls)
			l.polls = l.polls[:0]
		}
	}
	l.list = l.list[:0]
}

func (p *proactor) lookAt(polls []unix.PollFd) {
	if len(polls) == 0 {
		return
	}
	p.table.Stats.Syscalls++
	unix.Poll(polls, 0)
	for _, poll := range polls {
		o := p.table.FD(int(poll.Fd)).Reading()
		gone := poll.Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
		if gone && o != nil && o.Kind == backend.Recv && o.State&flying != 0 && !o.Aborted() {
			p.cancel(o) // which nobody has asked for, so that it begins anew
		}
	}
}
