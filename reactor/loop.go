package reactor

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	_ "github.com/eyewall/eyewall/backend/all" // so that New finds eyewall's own
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/timers"
)

// Loop runs tasks on one thread, and waits for their events through one backend. New makes one, Run runs it, once.
//
// Methods that any goroutine may call say so. The others, and those of the loop's tasks, connections and listeners,
// are for code that runs on the loop; other goroutines get ErrWrongGoroutine (see the package's documentation).
type Loop struct {
	backend  backend.Backend
	choice   backend.Choice
	caps     backend.Caps
	opt      options
	finished chan struct{} // closed when no task is left, and no posted function runs any more
	state    *atomic.Int32 // fresh, running, ended; it is unrun's
	unrun    *unrun
	thread   atomic.Int64 // that it runs on, or noThread, or unknownThread
	posts    posts
	offload  offload
	debug    *debugging            // nil unless debug mode is on
	quit     atomic.Pointer[error] // set when Run's context has ended: why

	ctx       context.Context // Run's
	draining  atomic.Bool     // Shutdown was called
	group     *Group          // nil where the loop runs by itself
	cpu       int             // that its thread is to be bound to; -1: none
	unpin     func()          // takes that back; nil while it is not bound
	published atomic.Int32    // tasks and connections, for its group
	incoming  atomic.Int32    // what connections that its group has sent it will add to that
	resting   atomic.Bool     // it has nothing to do but wait for its group

	// What follows is the loop goroutine's.

	completions []backend.Completion // of the last Poll
	taken       int                  // of those, how many have been given to their sinks
	polled      int                  // and how many there are
	scratch     backend.Op           // what is submitted, so that it need not be allocated
	expired     backend.Completion   // what an event's timer completes with, for the same reason
	sleep       event.Sleep          // Task.Sleep's, likewise

	ready   readyQueue
	timers  timers.Heap[expirer]
	passed  time.Duration // when timers were last expired
	tasks   slab[task]
	live    int   // tasks that have not ended
	result  error // of the one that has just ended
	spare   *task // ended ones, to be used again
	pool    pool
	exiting *coroutine       // that Goexit is ending; nil but for a moment
	waiters *waiter          // to be used again
	names   map[*task]string // that SetName has given; nil while it was not called

	spareScopes *scope // likewise

	conns      slab[conn]
	spareConns *conn   // closed ones, to be used again
	dirty      []*conn // those with output that has not been submitted
	listeners  []*Listener
	lazies     int // connections with handlers
	open       int // connections and listeners whose descriptor is not closed yet
	buffers    buffers
	spareOut   *output // to be used again
	spareRare  *rare   // likewise

	shared sharedConns

	input input // received, and not given back
	pipes pipes // held by tasks that send them on

	goroutine uintptr // of the coroutine that was resumed last; any goroutine may compare it: see elsewhere

	running  *task      // the one that runs now; nil while none does
	carrier  *coroutine // on which the loop's own code runs; nil while it is between two
	calls    ring[Conn] // connections whose handler is to be called
	stopping bool       // tasks are being canceled, for Run to end
	cutters  int        // tasks of Shutdown's own
	cut      error      // why their waits end then; nil for ErrCanceled
	closing  bool       // no task is left, and what tasks left open is being closed
	over     bool       // nothing is left at all
	broken   bool       // the backend is, and gives no completions
	abandon  bool       // tasks that still wait are to end at once
	flight   int        // operations that are not complete
	inside   int        // waits that only what runs on the loop may end
	outside  int        // waits that something other than the loop may end, and what else may come from there
	timeouts int        // scopes whose time is not over
	rests    bool       // resting is set
	quits    bool       // err is quit's
	told     int32      // what published is
	err      error      // what Run returns
	stats    Stats      // but for what Stats adds
}

// expirer is what a timer of the loop calls when its time has come, on the loop, between tasks.
type expirer interface{ expire(l *Loop) }

const (
	fresh int32 = iota
	running
	ended
)

// New makes a loop on the backend that the options, or the environment variable EYEWALL_BACKEND, or the ladder of
// backend.Open choose. It holds descriptors until Run ends or Close is called.
func New(opts ...Option) (*Loop, error) {
	opt, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	if opt.loops > 1 {
		return nil, fmt.Errorf("reactor: WithLoops(%d): New makes one loop; NewGroup makes several", opt.loops)
	}
	return newLoop(opt, 0)
}

// newLoop makes the ith loop.
func newLoop(opt options, i int) (*Loop, error) {
	cpu, err := opt.cpu(i)
	if err != nil {
		return nil, err
	}
	b, choice, err := backend.Open(opt.backend, opt.config)
	if err != nil {
		return nil, fmt.Errorf("reactor: %w", err)
	}
	u := &unrun{backend: b}
	l := &Loop{backend: b, choice: choice, caps: b.Caps(), opt: opt, cpu: cpu, state: &u.state, unrun: u,
		finished: make(chan struct{}), pool: newPool()}
	if opt.debug != nil {
		l.debug = newDebugging(l, opt.debug)
	}
	l.input = newInput(l.caps)
	l.completions = make([]backend.Completion, max(l.caps.Batch, 1))
	runtime.AddCleanup(l, (*unrun).drop, u)
	return l, nil
}

// mustBeMade panics if the loop is the zero one.
func (l *Loop) mustBeMade() {
	if l.state == nil {
		panic("reactor: the zero Loop was used; New makes one")
	}
}

// unrun holds a loop's resources before it runs. It is apart from the Loop, for the cleanup of one that was dropped.
type unrun struct {
	state   atomic.Int32 // the loop's
	backend backend.Backend
	sockets []socket // of its group's servers
}

// socket is a listening one.
type socket struct {
	fd   int
	file string // as a Listener has it
}

// drop frees the resources of a loop that was dropped without Run or Close.
func (u *unrun) drop() {
	if !u.state.CompareAndSwap(fresh, ended) {
		return
	}
	u.backend.Close()
	for _, s := range u.sockets {
		s.shut()
	}
}

// shut closes a listening socket that no loop has run, and removes its file.
func (s socket) shut() {
	if s.file != "" {
		unix.Unlink(s.file)
	}
	unix.Close(s.fd)
}

// Backend tells which backend the loop runs on, and why not a better one. Any goroutine may call it.
func (l *Loop) Backend() backend.Choice { return l.choice }

// Go starts fn as a task, once the loop runs. Any goroutine may call it. The error is ErrLoopEnded, or ErrPostFull.
func (l *Loop) Go(fn func(Task) error) error {
	mustBeThere(fn)
	if l.debug != nil {
		from := stack()
		return l.Post(func() { l.debug.of(l.spawn(fn)).from = from })
	}
	return l.Post(func() { l.spawn(fn) })
}

// Close frees a loop that is not to be run. It is a no-op while Run runs, which frees it itself, and after, and for a
// loop of a group. Any goroutine may call it.
func (l *Loop) Close() error {
	l.mustBeMade()
	if l.group != nil {
		return nil
	}
	return l.close()
}

func (l *Loop) close() error {
	if !l.state.CompareAndSwap(fresh, ended) {
		return nil
	}
	l.posts.close()
	close(l.finished)
	return l.free()
}

// free closes the backend, and the descriptors that it has not closed.
func (l *Loop) free() error {
	err := l.backend.Close()
	for c := range l.conns.all() {
		if c.fd >= 0 {
			unix.Close(int(c.fd))
		}
	}
	for _, ln := range l.listeners {
		ln.socket().shut()
	}
	l.conns, l.listeners = slab[conn]{}, nil
	return err
}

// Run runs the loop on a thread of its own until no task is left and nothing is posted, or ctx ends, a task panics,
// the tasks that are left wait for one another (DeadlockError), or the backend breaks. Then, and also at a panic,
// tasks that still wait are canceled: their waits end with ErrCanceled, or with an error that wraps both it and the cause
// of ctx's end, where that is another; their defers run, and one that goes on waiting all the same is ended as by
// runtime.Goexit; connections and listeners that are still open are closed. When Run returns no task, coroutine or
// descriptor of the loop is left, and what was begun by Offload has ended: Run waits for that.
//
// Run returns the cause of ctx's end, a *PanicError, the backend's error, a *DeadlockError, or else the first error
// that a task returned, other than io.EOF, where no WithErrors took it. A loop runs once; a second Run returns
// ErrLoopEnded, or ErrLoopRunning. A task of another loop cannot call Run, which would hold up that loop: it is an
// error.
func (l *Loop) Run(ctx context.Context) error {
	l.mustBeMade()
	switch {
	case ctx == nil:
		return noContext("Run")
	case l.group != nil:
		return errGroups
	}
	return l.run(ctx)
}

func (l *Loop) run(ctx context.Context) error {
	if here, _ := loopHere(); here != nil && here != l {
		return errRunOnLoop
	}
	if !l.state.CompareAndSwap(fresh, running) {
		if l.state.Load() == running {
			return ErrLoopRunning
		}
		return ErrLoopEnded
	}
	l.ctx = ctx
	// The loop has a goroutine of its own since it locks the thread, and Run's caller may be locked to another one.
	result := make(chan error, 1)
	go l.main(ctx, result)
	return <-result
}
