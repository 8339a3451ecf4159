//go:build linux

package uring

import (
	"runtime"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/internal/retry"
	"github.com/eyewall/eyewall/backend/internal/zerocopy"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
)

func init() {
	for _, r := range []*rung{full, basic} {
		backend.Register(backend.Driver{Name: ring.Name, Rung: r.name, Rank: r.rank, Open: r.open})
	}
}

// proactor is a backend on one ring.
type proactor struct {
	*resources
	rung  *rung
	can   abilities
	table *ops.Table

	direct  fifo // tokens of operations that are system calls of their own
	queue   fifo // what found the submission queue full: user data of requests to make
	parked  fifo // tokens of receives that wait for a buffer, with the state starved
	later   fifo // those that have reported something in this Poll: they are parked in the next
	feeds   uint // receives that went on from there, and Splices that went on as receives
	ends    uint // cancels in queue
	cancels cancels
	marks   marks
	recheck recheck
	rests   retry.List[backend.Token] // operations with the state resting; 0 for pool.refused
	flying  int                       // requests in the kernel that will have a final completion
	failure error
	crowded bool // completions in the ring left no room for operations in direct and parked, and are to leave some

	refusals int // calls in a row that the kernel refused, with no completion in between

	clock   time.Time
	cleanup runtime.Cleanup
	state   lifetime
}

type lifetime uint8

const (
	opened lifetime = iota
	started
	closed
)

// resources is what has to be given back, and refers to no proactor: it outlives one that was dropped.
type resources struct {
	ring  *ring.Ring
	arena ring.Arena
	pool  pool
	pipes zerocopy.Pipes
	waker waker
}

func (res *resources) free() {
	res.waker.close()
	res.pipes.Close()
	res.pool.drop()
	if res.ring != nil {
		res.ring.UnregisterFD()
		res.ring.Close()
	}
	res.arena.Free()
}

func (r *rung) open(cfg backend.Config) (backend.Backend, error) {
	can, err := r.probe()
	if err != nil {
		return nil, err
	}
	res := &resources{waker: waker{fd: -1}}
	if err := res.acquire(r, can, cfg); err != nil {
		res.free()
		return nil, err
	}
	p := &proactor{resources: res, rung: r, can: can, clock: time.Now().Add(-time.Second)}
	p.table = ops.New(p, min(cfg.MaxOps, maxOps))
	p.cleanup = runtime.AddCleanup(p, (*resources).free, res)
	return p, nil
}

// arenaSize is room for what the kernel reads while it takes entries: some 500 vectored sends, or many addresses.
const arenaSize = 256 << 10

func (res *resources) acquire(r *rung, can abilities, cfg backend.Config) (err error) {
	if err = res.waker.open(); err != nil {
		return err
	}
	if res.ring, err = newRing(can.flags, cfg.Entries); err != nil {
		return err
	}
	if res.arena, err = ring.NewArena(arenaSize); err != nil {
		return err
	}
	return res.pool.init(res.ring, r, can, cfg)
}

func (p *proactor) Start() error {
	if err := p.ring.Enable(); err != nil {
		return err
	}
	p.cleanup.Stop()
	p.state = started
	p.ring.RegisterFD()
	p.recheck.start(p.rung, p.Now())
	p.armWake()
	p.supply() // ahead of the first receives, which would find nothing
	return nil
}

func (p *proactor) Submit(op *backend.Op) backend.Token { return p.table.Submit(op) }

func (p *proactor) Cancel(t backend.Token) { p.table.Cancel(t) }

func (p *proactor) Release(l backend.Lease) {
	switch pipe, ok := pipeOf(l); {
	case ok:
		p.pipes.Release(pipe)
	case l != 0:
		p.pool.release(l)
	}
}

func (p *proactor) Fetch(l backend.Lease, b []byte) int {
	if pipe, ok := pipeOf(l); ok && p.pipes.Lends(pipe) {
		return p.pipes.Fetch(pipe, b)
	}
	return 0
}

func (p *proactor) Wake() { p.waker.wake() }

func (p *proactor) Now() time.Duration { return time.Since(p.clock) }

func (p *proactor) Stats() backend.Stats { return p.table.Stats }

func (p *proactor) Caps() backend.Caps {
	return backend.Caps{
		Name:        ring.Name,
		Rung:        p.rung.name,
		Multishot:   p.rung.multishot,
		Provided:    true,
		Pipes:       true,
		Batch:       256,
		BufferSize:  p.pool.size,
		BufferCount: p.pool.count,
	}
}
