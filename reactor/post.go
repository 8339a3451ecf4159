package reactor

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxPosts = 1 << 16 // that wait
	perTurn  = 256     // of them that one turn of the loop runs
)

// posts is the functions given to a loop by other goroutines.
type posts struct {
	mu sync.Mutex
	in []func() // the newest last

	closed   atomic.Bool  // nothing is taken any more; set with mu held
	waiting  atomic.Int32 // how many there are, those taken out of in and not yet run included
	sleeping atomic.Bool  // the loop is in Poll, or about to be
	wakes    atomic.Uint64

	now []func() // taken out, being run; the loop's
	at  int      // of now
	ran uint64   // functions, so far
}

// Post has fn called on the loop, between tasks, soon; functions of one goroutine in their order. fn must not wait:
// to do that it starts a task. Any goroutine may call Post, at any time. The error is ErrLoopEnded, or ErrPostFull
// when 65,536 are waiting; fn is not called then. A nil fn is a panic.
func (l *Loop) Post(fn func()) error {
	l.mustBeMade()
	if fn == nil {
		panic("reactor: Post was given a nil function")
	}
	p := &l.posts
	p.mu.Lock()
	switch {
	case p.closed.Load():
		p.mu.Unlock()
		return ErrLoopEnded
	case p.waiting.Load() >= maxPosts:
		p.mu.Unlock()
		return ErrPostFull
	}
	p.in = append(p.in, fn)
	p.waiting.Add(1)
	p.mu.Unlock()
	if p.sleeping.CompareAndSwap(true, false) {
		p.wakes.Add(1)
		l.backend.Wake()
	}
	return nil
}

// mustPost posts fn, and waits while too much is posted. It is for goroutines that may be held up. The error is
// ErrLoopEnded, or ErrPostFull on the loop, which would wait for itself.
func (l *Loop) mustPost(fn func()) error {
	for {
		if err := l.Post(fn); err != ErrPostFull || l.isHere() {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// run calls what was posted, up to a bound.
func (p *posts) run(d *debugging) {
	if p.waiting.Load() == 0 {
		return
	}
	for range perTurn {
		if p.at == len(p.now) {
			clear(p.now)
			p.mu.Lock()
			p.now, p.in, p.at = p.in, p.now[:0], 0
			p.mu.Unlock()
			if len(p.now) == 0 {
				return
			}
		}
		fn := p.now[p.at]
		p.at++
		p.waiting.Add(-1)
		p.ran++
		d.goesOn()
		fn()
	}
}

func (p *posts) pending() bool { return p.waiting.Load() > 0 }

// sleep tells posters that they must wake the loop from now on; false if something is waiting already.
func (p *posts) sleep() bool {
	p.sleeping.Store(true)
	if p.pending() {
		p.sleeping.Store(false)
		return false
	}
	return true
}

func (p *posts) awake() { p.sleeping.Store(false) }

// closeOff refuses what comes from now on, or it might go on without end; it tells whether nothing is waiting either.
func (p *posts) closeOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed.Store(true)
	return !p.pending()
}

// close refuses what comes from now on, and drops what is waiting.
func (p *posts) close() {
	p.mu.Lock()
	p.closed.Store(true)
	p.in, p.now, p.at = nil, nil, 0
	p.mu.Unlock()
}
