package reactor

import (
	"slices"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// pool keeps coroutines that have no task: making one allocates and costs several switches. Those that were not needed
// for idleFor are ended, so that a loop that was busy once does not hold their stacks for ever.
type pool struct {
	idle  []*coroutine  // the one used last is used next, for its stack is in the cache
	least int           // of idle, how many there were at least since the last look
	due   time.Duration // when to look next; backend.Forever while none is idle
}

const (
	// maxIdle bounds the pool. Each coroutine in it holds a stack of at least 2 KiB.
	maxIdle = 16384
	// idleFor is how long a coroutine is idle, at least, before it is ended; at most it is twice that.
	idleFor = time.Second
	// maxTrim bounds how many are ended in one turn of the loop.
	maxTrim = 128
	// trimTurns is how many turns there are, at most, between looks of a loop that always has something to do.
	trimTurns = 256
)

func newPool() pool { return pool{due: backend.Forever} }

func (p *pool) get() *coroutine {
	last := len(p.idle) - 1
	if last < 0 {
		return newCoroutine()
	}
	p.least = min(p.least, last)
	co := p.idle[last]
	p.idle = p.idle[:last]
	return co
}

// put takes a coroutine that has no task any more.
func (l *Loop) put(co *coroutine) {
	p := &l.pool
	if len(p.idle) == maxIdle {
		co.end()
		return
	}
	p.idle = append(p.idle, co)
	if p.due == backend.Forever {
		p.due = l.backend.Now() + idleFor
	}
}

// trim ends coroutines that were idle since the last look, if it is time for that.
func (p *pool) trim(now time.Duration) {
	if now < p.due {
		return
	}
	n := min(p.least, maxTrim)
	for _, co := range p.idle[:n] {
		co.end()
	}
	p.idle = slices.Delete(p.idle, 0, n)
	switch p.least -= n; {
	case p.least > 0: // in the next turn
	case len(p.idle) > 0:
		p.least, p.due = len(p.idle), now+idleFor
	default:
		p.idle, p.due = nil, backend.Forever
	}
}

// trimIdle ends coroutines that have been idle for long. It reads the clock only if there was nothing else to do, and
// on a busy loop now and then.
func (l *Loop) trimIdle(n int) {
	if l.pool.due < backend.Forever && (n == 0 || l.stats.Turns%trimTurns == 0) {
		l.pool.trim(l.backend.Now())
	}
}

// drop ends every coroutine in the pool.
func (p *pool) drop() {
	for _, co := range p.idle {
		co.end()
	}
	p.idle = nil
}
