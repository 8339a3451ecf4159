package reactor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Group is several loops that run together, each on a thread of its own, for servers (Serve, Handle) and tasks (Go).
// NewGroup makes one, Run runs it, once. What belongs to a loop stays there; work moves between loops by Loop.Post, and
// so by Go, only.
//
// Its methods may be called from any goroutine.
type Group struct {
	loops []*Loop
	opt   options

	mu      sync.Mutex
	servers []*server
	closed  bool        // Run or Close was called
	over    atomic.Bool // all loops rested
}

const maxLoops = 1024

// NewGroup makes a group of as many loops as WithLoops says. It holds descriptors until Run ends or Close is called.
func NewGroup(opts ...Option) (*Group, error) {
	opt, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	g := &Group{opt: opt}
	for i := range opt.loops {
		l, err := newLoop(opt, i)
		if err != nil {
			g.Close()
			return nil, err
		}
		l.group = g
		g.loops = append(g.loops, l)
	}
	return g, nil
}

// Loops are the group's loops, whose own Run and Close are the group's. The slice is the caller's.
func (g *Group) Loops() []*Loop { return append([]*Loop(nil), g.loops...) }

// Go starts fn as a task on the loop that has the fewest tasks and connections, once the group runs. The error is
// ErrLoopEnded, or ErrPostFull.
func (g *Group) Go(fn func(Task) error) error { return g.loops[g.leastLoaded()].Go(fn) }

// Run runs the loops until no task is left on any of them and nothing is posted, or ctx ends, or one of them ends with
// an error, which ends the others. It returns the cause of ctx's end, or the errors of the loops; see Loop.Run. A group
// runs once; a second Run returns ErrLoopEnded, or ErrLoopRunning. It is an error to call it on a loop.
func (g *Group) Run(ctx context.Context) error {
	if ctx == nil {
		return noContext("Run")
	}
	if err := g.run(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// run is Run without ctx's cause.
func (g *Group) run(ctx context.Context) error {
	here, _ := loopHere()
	g.mu.Lock()
	again := g.closed
	g.closed = again || here == nil
	g.mu.Unlock()
	switch {
	case again && g.loops[0].state.Load() == ended:
		return ErrLoopEnded
	case again:
		return ErrLoopRunning
	case here != nil:
		return errRunOnLoop
	}
	defer g.drop()
	all, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(g.loops))
	var wg sync.WaitGroup
	for i, l := range g.loops {
		wg.Go(func() {
			if err := l.run(all); err != nil && !l.quits {
				errs[i] = err
				if !g.over.Load() { // else they end by themselves, and have their own errors to tell
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close frees a group that is not to be run. It is a no-op while Run runs, which frees it itself, and after.
func (g *Group) Close() error {
	g.mu.Lock()
	ran := g.closed
	g.closed = true
	g.mu.Unlock()
	if ran {
		return nil
	}
	defer g.drop()
	var errs []error
	for _, l := range g.loops {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

// drop closes what was on its way between loops that have ended.
func (g *Group) drop() {
	for _, s := range g.servers {
		for _, v := range s.lanes {
			v.drop()
		}
	}
}

// load is roughly how many tasks and connections the loop has, or will have. Any goroutine may call it.
func (l *Loop) load() int32 {
	return l.published.Load() + l.incoming.Load() + l.posts.waiting.Load()
}

// publish lets others know the loop's load.
func (l *Loop) publish() {
	if n := int32(l.live + l.open); n != l.told {
		l.told = n
		l.published.Store(n)
	}
}

// leastLoaded is the index of the loop that has least.
func (g *Group) leastLoaded() int {
	least, fewest := 0, g.loops[0].load()
	for i, l := range g.loops[1:] {
		if n := l.load(); n < fewest {
			least, fewest = i+1, n
		}
	}
	return least
}

// goesOn tells whether a loop that has nothing to do has to wait for what others of its group may give it. It does until
// all of them rest, and nothing is on its way to any.
func (g *Group) goesOn(l *Loop) bool {
	if g == nil || g.over.Load() {
		return false
	}
	l.rests = true
	l.resting.Store(true)
	for _, o := range g.loops {
		if !o.resting.Load() || o.posts.pending() {
			return true // it will look for itself, when it rests
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over.Load() {
		return false
	}
	for _, o := range g.loops { // so that nothing is posted while it looks
		o.posts.mu.Lock()
		defer o.posts.mu.Unlock()
	}
	for _, o := range g.loops { // what is no longer waiting has ended its loop's rest
		if o.posts.pending() || !o.resting.Load() {
			return true
		}
	}
	g.over.Store(true)
	for _, o := range g.loops {
		o.posts.closed.Store(true) // or a task could yet begin among loops that have ended
		o.backend.Wake()
	}
	return false
}

// rise ends a rest, before anything that came is dealt with.
func (l *Loop) rise() {
	if l.rests {
		l.rests = false
		l.resting.Store(false)
	}
}

// newOptions puts the options together.
func newOptions(opts []Option) (options, error) {
	opt := options{linger: defaultLinger, loops: 1, workers: defaultWorkers, backlog: defaultOffload}
	for i, o := range opts {
		if o == nil {
			return opt, fmt.Errorf("reactor: option %d of %d is nil", i+1, len(opts))
		}
		o(&opt)
	}
	if opt.debug == nil {
		opt.debug = debugFromEnv()
	}
	switch {
	case opt.loops < 1 || opt.loops > maxLoops:
		return opt, fmt.Errorf("reactor: WithLoops(%d): it must be from 1 to %d", opt.loops, maxLoops)
	case opt.linger < 0:
		return opt, fmt.Errorf("reactor: WithLinger(%v): it must not be negative", opt.linger)
	case opt.drain < 0:
		return opt, fmt.Errorf("reactor: WithDrain(%v): it must not be negative", opt.drain)
	case opt.busyPoll < 0:
		return opt, fmt.Errorf("reactor: WithBusyPoll(%v): it must not be negative", opt.busyPoll)
	}
	if opt.workers < 1 || opt.backlog < 0 {
		return opt, fmt.Errorf("reactor: WithOffload(%d, %d): it needs a goroutine at least", opt.workers, opt.backlog)
	}
	return opt, nil
}
