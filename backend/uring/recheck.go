//go:build linux

package uring

import (
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"golang.org/x/sys/unix"
)

// A multishot receive can miss something, and then nothing else may ever happen to its connection. The kernel waits for the
// next event when it takes a socket for empty, and it is wrong about that now and then: when data and the end come together
// (see liburing's issue 1549), or an error right behind data; and at an urgent mark, where tcp_recvmsg gives EAGAIN while a
// signal is pending, such as those with which Go preempts, although there are bytes behind the mark.
//
// So descriptors are looked at by poll(2). A receive that has missed something is one whose socket is readable, at its end
// or broken, and that reports nothing although everything that the kernel had to report since then is collected (see
// cancels). Such a receive is canceled and begins anew: it then finds what it has missed, and a cancel takes no bytes from a
// socket.
//
// What may well have missed something is looked at soon: a descriptor on which data has come, and again as long as there is
// something on it, be it only an urgent mark ahead: what made a receive miss something may be there yet when it begins anew.
// All the others are looked at now and then.

const (
	recheckPeriod = 250 * time.Millisecond // a descriptor is looked at in the second round after data
	recheckAll    = 30 * time.Second       // from one look at all descriptors to the next
	recheckAgain  = 10 * time.Millisecond  // after a call of poll(2) that failed
	recheckBatch  = 512                    // descriptors in one call, which takes some 100 µs; a turn makes one call
	recheckScan   = 4096                   // descriptors that a turn goes through in search of those with a receive
	recheckTurns  = 1024                   // after so many turns that never wait, the clock is looked at
)

// recheck is the descriptors to be looked at.
type recheck struct {
	fds   fifo          // numbers: those with the state listed are there once, others have been closed meanwhile
	ripe  uint          // so many of them, the first, were there when the last round began
	due   uint          // so many of them, the first, are yet to be looked at in this round
	at    time.Duration // when the next round begins, or this one goes on; valid while fds is not empty
	batch uint          // descriptors in the next call
	polls []unix.PollFd

	allAt time.Duration // when all are put on the list, or that goes on
	scan  int           // the first number that is yet to be; 0 while none is

	turns uint32 // turns that did not wait
}

func (l *recheck) start(g *rung, now time.Duration) {
	l.batch, l.allAt = recheckBatch, backend.Forever
	if g.multishot {
		l.allAt = now + recheckAll
	}
}

// recheckLater has f looked at some time after data has come on it. A busy connection costs that a part of four calls a
// second, and one that becomes idle two wake-ups.
func (p *proactor) recheckLater(f *ops.FD) {
	if f.State&listed != 0 {
		return
	}
	f.State |= listed
	l := &p.recheck
	if l.fds.empty() {
		l.at, l.ripe = p.Now()+recheckPeriod, 0
	}
	l.fds.push(uint64(f.Num))
}

// nextRecheck is the earlier of until and the next look.
func (p *proactor) nextRecheck(until time.Duration) time.Duration {
	l := &p.recheck
	if !l.fds.empty() {
		until = min(until, l.at)
	}
	if p.flying > 1 { // there are others than the wake-up
		until = min(until, l.allAt)
	}
	return until
}

// busy counts a turn that does not wait, and looks if it is time and none has waited for long.
func (p *proactor) busy() {
	l := &p.recheck
	if l.turns++; l.due > 0 || l.scan > 0 || l.turns%recheckTurns == 0 {
		p.recheckSome(p.Now())
	}
}

// pollFDs stands between for tests.
var pollFDs = unix.Poll

// recheckSome looks at a batch of descriptors, and puts some on the list, if it is time.
func (p *proactor) recheckSome(now time.Duration) {
	l := &p.recheck
	if now >= l.allAt {
		l.scan = p.table.Scan(l.scan, recheckScan, func(f *ops.FD) {
			if p.mayMiss(f) != nil {
				p.recheckLater(f)
			}
		})
		if l.scan == 0 {
			l.allAt = now + recheckAll
		}
	}
	if l.fds.empty() || now < l.at {
		return
	}
	if l.due == 0 {
		l.due, l.ripe = l.ripe, l.fds.n-l.ripe
	}
	if l.due > 0 && !p.lookAt(min(l.due, max(l.batch, 1))) {
		l.at, l.batch = now+recheckAgain, l.batch/2
	} else if l.batch = recheckBatch; l.due == 0 {
		l.at = now + recheckPeriod
	}
}

// lookAt looks at the first n descriptors of the list, and takes them off. If poll(2) fails, it leaves them there and
// returns false.
func (p *proactor) lookAt(n uint) bool {
	l := &p.recheck
	l.polls = l.polls[:0]
	for i := range n {
		if f := p.table.FD(int(l.fds.at(i))); f.State&listed != 0 && p.mayMiss(f) != nil {
			l.polls = append(l.polls, unix.PollFd{Fd: f.Num, Events: unix.POLLIN | unix.POLLPRI | unix.POLLRDHUP})
		}
	}
	if len(l.polls) > 0 {
		p.table.Stats.Syscalls++
		if _, err := pollFDs(l.polls, 0); err != nil {
			return false
		}
	}
	for range n {
		p.table.FD(int(l.fds.pop())).State &^= listed
	}
	l.due -= n
	for _, poll := range l.polls {
		f := p.table.FD(int(poll.Fd))
		o := p.mayMiss(f)
		if o == nil || poll.Revents == 0 {
			continue
		}
		p.recheckLater(f)
		if poll.Revents != unix.POLLPRI {
			o.State |= suspect
			p.cancels.push(uint64(o.Token()))
		}
	}
	return true
}

// mayMiss gives the receive on f that may have missed something; nil if there is none.
func (p *proactor) mayMiss(f *ops.FD) *ops.Op {
	if o := f.Reading(); o != nil && o.Kind == backend.Recv && o.Multishot && o.State&(flying|ending) == flying {
		return o
	}
	return nil
}
