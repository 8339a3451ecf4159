package reactor

import (
	"runtime"
	"time"

	"github.com/eyewall/eyewall/event"
)

// Task is a handle on a task: straight-line code that runs on a loop and yields an event wherever it has to wait. It is
// a small value to be passed and copied; that of a task that has ended stays valid and names no other, though the loop
// uses its memory again.
//
// A task is never preempted: between two waits no other task of its loop runs, so that what is shared only among them
// needs no lock. In return it should not block or compute for long. It must not call runtime.LockOSThread.
//
// The methods that wait are for the task itself. The others may be called by whatever runs on the loop; called by
// another goroutine they panic with ErrWrongGoroutine.
type Task struct {
	t          *task
	generation uint32
}

// task is what a loop knows of a running function.
type task struct {
	loop *Loop // never changes: any goroutine may ask it whether it is elsewhere
	taskState
}

// taskState is the loop's.
type taskState struct {
	co         *coroutine
	generation uint32 // of handles on it
	queued     bool   // it is in the ready queue
	enlisted   bool   // it is one of those that the loop waits for
	done       bool   // its function has returned
	canceled   bool   // every wait is refused
	refusals   uint8  // times that it gave way since the loop began to end; up to maxRefusals
	waits      waitKind
	calls      uint16 // that could have waited and did not, since it last waited; up to maxCalls

	connGeneration uint32
	conn           *conn            // that a handler serves as this task; nil for others
	fn             func(Task) error // what it runs if it serves none

	scope *scope // the innermost that it is in; nil while there is none

	nextReady *task  // in the ready queue; in the loop's list of spare ones
	turn      queuer // its place in the queue that it waits in
}

// Go starts fn as a task of the same loop. It begins when this task next waits.
func (t Task) Go(fn func(Task) error) Task {
	l := t.Loop()
	l.mustBeHere()
	return l.spawn(fn).task()
}

// Loop is the loop that the task runs on. Any goroutine may call it. The zero Task has none, which is a panic.
func (t Task) Loop() *Loop {
	if t.t == nil {
		panic("reactor: the zero Task was asked for its loop; a Task is what a function that runs as one is given")
	}
	return t.t.loop
}

// Sleep waits for d, and not less; not at all, but to let others run, when d is not positive. It ends early with
// ErrCanceled.
func (t Task) Sleep(d time.Duration) error {
	s, err := t.current()
	if err != nil {
		return err
	}
	sleep := &s.loop.sleep // which looks at it at once, and never again
	sleep.For = d
	return t.Await(sleep)
}

// Yield lets the other tasks that are ready run first.
func (t Task) Yield() error { return t.Await(event.Yield{}) }

// Cancel ends the task's wait, and every later one, with ErrCanceled; no byte that has arrived is lost by that. It is
// a no-op where the task has ended.
func (t Task) Cancel() { t.CancelCause(ErrCanceled) }

// CancelCause is Cancel with another error; nil stands for ErrCanceled. The first one stands.
func (t Task) CancelCause(cause error) {
	if cause == nil {
		cause = ErrCanceled
	}
	if t.mustBeHere(); !t.ended() {
		t.t.cancelWith(cause)
	}
}

// Done tells whether the task has ended.
func (t Task) Done() bool {
	t.mustBeHere()
	return t.ended()
}

func (t Task) ended() bool { return t.t == nil || t.t.generation != t.generation }

func (t Task) mustBeHere() {
	if t.t != nil {
		t.t.loop.mustBeHere()
	}
}

func (t *task) task() Task { return Task{t, t.generation} }

// serves is the connection that t serves.
func (t *task) serves() Conn {
	if t.conn == nil {
		return Conn{}
	}
	return Conn{t.conn, t.connGeneration, t.conn.unix}
}

// runs tells whether t is a task that begins to run, and not one for handlers to run as.
func (t *task) runs() bool { return t.fn != nil || t.conn != nil }

func (t *task) serve(c *conn) { t.conn, t.connGeneration = c, c.generation }

// park suspends the task until something wakes it, which may be for no reason that its wait knows: whoever calls it
// looks again.
func (t *task) park() {
	l := t.loop
	t.calls = 0
	if l.carrier == t.co {
		l.leaveLoop(t)
	}
	if !l.abandon {
		t.co.suspend()
	}
	if l.abandon {
		runtime.Goexit() // runs the defers, and no recover holds it
	}
	if l.debug != nil {
		l.debug.goesOnAs(t)
	}
}

const (
	// maxRefusals is how often a task may give way while its loop is ending, before it is taken to ignore that.
	maxRefusals = 200
	// maxCalls is how many calls in a row may return at once, be it with an error, before the task gives way.
	maxCalls = 1000
)

// enter returns the task that is running, for a call that may wait. A task that makes many such calls, none of which had
// to wait, gives way: one that repeats a call that fails at once must not hold up the others.
func (l *Loop) enter() (*task, error) {
	if l.elsewhere() {
		return nil, ErrWrongGoroutine
	}
	return l.entered()
}

// entered is enter for a caller that is known to run on the loop.
func (l *Loop) entered() (*task, error) {
	t := l.running
	if t == nil {
		return nil, ErrNotTask
	}
	if t.calls++; t.calls > maxCalls {
		t.giveWay()
	}
	return t, nil
}

// giveWay lets the other tasks run first. A task that goes on though its loop is ending is ended.
func (t *task) giveWay() {
	if t.loop.stopping {
		if t.refusals == maxRefusals {
			if t.loop.debug != nil {
				t.loop.debug.forces(t)
			}
			runtime.Goexit()
		}
		t.refusals++
	}
	t.loop.wake(t)
	t.park()
}

// refused returns the error of a wait that must not begin, or nil. It gives way, so that a task that ignores the error
// holds up nobody.
func (t *task) refused() error {
	if !t.canceled {
		return nil
	}
	cause := t.cause()
	t.giveWay()
	return cause
}

// run calls the task's function, on its coroutine. What comes after is done by the loop, so that stacks stay small.
func (t *task) run() {
	if t.loop.debug != nil {
		t.loop.debug.starts(t)
	}
	returned := false
	defer func() {
		if t.loop.debug != nil {
			t.loop.debug.stopped()
		}
		if v := recover(); v != nil {
			t.loop.result, returned = newPanicError(v), true
		}
		t.done = true
		if !returned {
			t.loop.result = errGoexit
			t.loop.leave(t)
		}
	}()
	if t.fn != nil {
		t.loop.result = t.fn(t.task())
	} else {
		t.loop.result = t.conn.handler(t.serves())
	}
	returned = true
}
