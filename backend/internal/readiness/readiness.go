//go:build unix

// Package readiness makes a proactor of a readiness interface: it carries operations out when a [Poller] says that
// their descriptors are ready. It is written once, for epoll, select and their like.
//
// Nothing is tried before Poll, which takes turns: carry out what was begun or became ready, ask the poller for more
// that is ready, carry that out. A write is tried at once, unless the descriptor is known to be
// full; a read as soon as the descriptor is not known to be drained. A read that did not fill its buffer has drained
// it, so that a steady exchange costs one read and one write a message, and no call that ends in EAGAIN.
package readiness

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/internal/retry"
)

// What is known of a descriptor, in ops.FD.State. The first bits are those of Ready.
const (
	drained = uint32(Readable) // reading has to wait for an event
	full    = uint32(Writable) // writing has to wait for an event
	ended   = uint32(Ended)    // no further event need come, so that a short read proves nothing
	blocked = drained | full

	watchedShift = 8 // the directions that are watched are so much further up
	watched      = uint32(Readable|Writable|Urgent) << watchedShift

	queued    = 1 << 16 // it is in Backend.begun or ready, or is being served
	starving  = 1 << 17 // it is in Backend.starved
	stalled   = 1 << 18 // it is in Backend.retry
	typed     = 1 << 19 // its type has been looked at
	stream    = 1 << 20 // and a short read has drained it
	socket    = 1 << 21 // it is one, for certain
	listening = 1 << 22 // it is a listening socket, for certain
)

// Backend is a backend on readiness.
type Backend struct {
	table     *ops.Table
	poller    Poller
	traits    Traits
	pool      pool
	pipes     pipes
	gather    gather
	connector connector

	begun   ring                // descriptors with an operation that began
	ready   ring                // descriptors that the poller reported, or that had more to do than one turn allows
	starved ring                // descriptors that may be read but for want of a provided buffer
	retry   retry.List[*ops.FD] // descriptors to try again after a while, with the state stalled
	round   uint                // the end of ready when the poller was last asked
	taken   int                 // bytes received in this turn

	canceled []backend.Token // operations that are to end, unless a look finds that they have a result
	ending   []backend.Token // operations that are to end without a look
	watching int             // descriptors that the poller watches until they are closed

	odd       bool // the starved came before the ready, the last time
	postponed bool // nothing but what was begun was looked at, the last time
	thorough  bool // the turn is a look
	quiet     bool // the last wait brought one event at most, so that asking before waiting is most likely in vain

	start time.Time
	wake  atomic.Uint32 // asleep, awake or woken

	waking sync.Mutex // Interrupt does not meet Close
	closed bool
}

// States of Backend.wake.
const (
	awake  = iota // the next Poll has no reason to return early
	asleep        // Poll blocks, or is about to
	woken         // Wake was called
)

// New makes a backend of a poller.
func New(p Poller, t Traits, cfg backend.Config) *Backend {
	b := &Backend{poller: p, traits: t, start: time.Now()}
	b.table = ops.New(b, cfg.MaxOps)
	b.pool.init(cfg.BufferSize, cfg.BufferCount)
	return b
}

// Start is Backend.Start.
func (b *Backend) Start() error {
	if b.closed {
		return net.ErrClosed
	}
	return nil
}

// Submit is Backend.Submit.
func (b *Backend) Submit(op *backend.Op) backend.Token { return b.table.Submit(op) }

// Cancel is Backend.Cancel.
func (b *Backend) Cancel(t backend.Token) { b.table.Cancel(t) }

// Release is Backend.Release.
func (b *Backend) Release(l backend.Lease) {
	switch pipe, ok := pipeOf(l); {
	case ok:
		b.pipes.Release(pipe)
	case l != 0:
		b.pool.release(l)
	}
}

// Fetch is Backend.Fetch.
func (b *Backend) Fetch(l backend.Lease, p []byte) int {
	if pipe, ok := pipeOf(l); ok && b.pipes.Lends(pipe) {
		return b.pipes.Fetch(pipe, p)
	}
	return 0
}

// Now is Backend.Now.
func (b *Backend) Now() time.Duration { return time.Since(b.start) }

// Stats is Backend.Stats.
func (b *Backend) Stats() backend.Stats { return b.table.Stats }

// Caps is Backend.Caps.
func (b *Backend) Caps() backend.Caps {
	return backend.Caps{
		Name: b.traits.Name, Batch: b.traits.Batch,
		BufferSize: b.pool.size, BufferCount: b.pool.count, Pipes: canPipe,
	}
}

// Wake is Backend.Wake.
func (b *Backend) Wake() {
	if b.wake.Load() == woken || b.wake.Swap(woken) != asleep {
		return // Poll sees it before it sleeps
	}
	b.waking.Lock()
	defer b.waking.Unlock()
	if !b.closed {
		b.poller.Interrupt()
	}
}

// Close is Backend.Close.
func (b *Backend) Close() error {
	b.waking.Lock()
	defer b.waking.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.table.BeginPoll(nil) // closes those descriptors whose Close is in flight
	for _, t := range append(b.canceled, b.ending...) {
		b.end(t)
	}
	b.table.EndPoll()
	b.table.Unreported(func(fd int) { closeFD(fd) })
	b.pool.close()
	b.pipes.Close()
	return b.poller.Close()
}

// Begin queues o, for Poll to try.
func (b *Backend) Begin(o *ops.Op) { b.push(&b.begun, o.FD) }

// Abort leaves the end of o to Poll, which looks first for results if need be.
func (b *Backend) Abort(o *ops.Op) {
	if b.table.AbortsAtOnce(o) {
		b.ending = append(b.ending, o.Token())
	} else {
		b.canceled = append(b.canceled, o.Token())
	}
}

// CloseFD closes f.
func (b *Backend) CloseFD(f *ops.FD) error {
	if f.State&watched != 0 {
		if b.traits.Lasting { // others only note it
			b.table.Stats.Syscalls++
			b.watching--
		}
		b.poller.Forget(int(f.Num))
	}
	b.table.Stats.Syscalls++
	return closeFD(int(f.Num))
}

// push puts f at the end of r, unless it is in a queue or being served.
func (b *Backend) push(r *ring, f *ops.FD) {
	if f.State&queued == 0 {
		f.State |= queued
		r.push(f)
	}
}
