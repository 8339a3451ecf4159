//go:build linux

package uring

import (
	"sync"
	"time"

	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// CloseFD is ops.Engine's. Nothing is in flight on the descriptor, so close(2) does to a connection what it always does:
// a request in the kernel would have kept it open, without a FIN.
//
// There is no shutdown(2) before it. Requests on sockets end within the turn that cancels them, and a shutdown would end
// the connection also for others who hold it: a duplicate, a child process.
func (p *proactor) CloseFD(f *ops.FD) error {
	p.table.Stats.Syscalls++
	if err := unix.Close(int(f.Num)); err != nil && err != unix.EINTR { // it is closed after EINTR, too
		return err
	}
	return nil
}

// drainLimit bounds how long Close waits for requests to end. All that we make end when they are canceled, but for those
// that a worker of the kernel's carries out, for as long as that may take.
var drainLimit = 2 * time.Second

// orphans are backends that were closed with requests that would not end. What those refer to must stay.
var orphans struct {
	sync.Mutex
	list []*proactor
}

func (p *proactor) Close() error {
	if p.state == closed {
		return nil
	}
	was := p.state
	p.state = closed
	p.cleanup.Stop()
	p.waker.close()
	p.pipes.Close()
	drained := was != started || p.drain()
	p.table.Unreported(func(fd int) { unix.Close(fd) })
	if drained {
		p.resources.free()
		closedOne()
	} else {
		p.ring.UnregisterFD()
		p.ring.Abandon()
		orphans.Lock()
		orphans.list = append(orphans.list, p)
		orphans.Unlock()
	}
	p.queue.push(tagOwn) // what comes in spite of the contract waits behind it, and touches no memory that is gone
	return nil
}

// drain cancels all requests and waits until they have ended; false if they do not.
func (p *proactor) drain() bool {
	p.queue = fifo{}
	p.queue.push(tagCancel) // token 0: the wake-up
	p.table.Each(func(o *ops.Op) {
		if o.State&flying != 0 {
			p.queue.push(userData(o))
		}
	})
	for give := time.Now().Add(drainLimit); p.flying > 0 && time.Now().Before(give); {
		for !p.queue.empty() {
			target := p.queue.first()
			if target == tagCancel {
				target = tagOwn
			}
			if !p.requestCancel(target) {
				break
			}
			p.queue.pop()
		}
		wait := 10 * time.Millisecond
		if !p.queue.empty() {
			wait = 0
		}
		if p.entered(p.ring.Wait(wait)) != nil {
			break
		}
		for c := p.ring.Next(); c != nil; c = p.ring.Next() {
			p.discard(c)
		}
		p.ring.Seen()
	}
	return p.flying == 0
}

// discard takes a completion that nobody will hear of.
func (p *proactor) discard(c *ring.CQE) {
	switch tag := c.UserData & tagMask; {
	case tag == tagCancel:
		return
	case tag == tagOwn && c.UserData != tagOwn|ownWake && c.UserData != tagOwn|ownMark:
		return
	case tag == tagAccept && c.Res >= 0:
		unix.Close(int(c.Res))
	}
	if c.Flags&ring.CQEMore == 0 {
		p.flying--
	}
}
