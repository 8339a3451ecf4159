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
// The methods that wait are for the task itself. The others may be called by whatever runs on the loop.
type Task struct {
	t          *task
	generation uint32
}

// task is what a loop knows of a running function.
type task struct {
	loop       *Loop
	co         *coroutine
	generation uint32 // of handles on it
	queued     bool   // it is in the ready queue
	enlisted   bool   // it is one of those that the loop waits for
	done       bool   // its function has returned
	canceled   bool   // every wait is refused
	refusals   int16  // waits that were refused since the loop began to end; up to maxRefusals
	waits      waitKind

	connGeneration uint32
	conn           *conn            // that a handler serves as this task; nil for others
	fn             func(Task) error // what it runs if it serves none

	scope *scope // the innermost that it is in; nil while there is none

	nextReady  *task // in the ready queue; in the loop's list of spare ones
	nextWaiter *task // in the wait list it is in
}

// Go starts fn as a task of the same loop. It begins when this task next waits.
func (t Task) Go(fn func(Task) error) Task {
	return t.t.loop.spawn(fn).task()
}

// Loop is the loop that the task runs on.
func (t Task) Loop() *Loop { return t.t.loop }

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
	if !t.Done() {
		t.t.loop.elsewhere()
		t.t.cancelWith(cause)
	}
}

// Done tells whether the task has ended.
func (t Task) Done() bool { return t.t == nil || t.t.generation != t.generation }

func (t *task) task() Task { return Task{t, t.generation} }

// serves is the connection that t serves.
func (t *task) serves() Conn { return Conn{t.conn, t.connGeneration} }

// runs tells whether t is a task that begins to run, and not one for handlers to run as.
func (t *task) runs() bool { return t.fn != nil || t.conn != nil }

func (t *task) serve(c *conn) { t.conn, t.connGeneration = c, c.generation }

// park suspends the task until something wakes it, which may be for no reason that its wait knows: whoever calls it
// looks again.
func (t *task) park() {
	l := t.loop
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

// maxRefusals is how many waits a task may see refused while its loop is ending, before it is taken to ignore that.
const maxRefusals = 1000

// refused is the error of a wait that must not begin, or nil. Others run first, so that a task that ignores it holds up
// nobody.
func (t *task) refused() error {
	if !t.canceled {
		return nil
	}
	if t.loop.stopping {
		if t.refusals == maxRefusals {
			if t.loop.debug != nil {
				t.loop.debug.forces(t)
			}
			runtime.Goexit()
		}
		t.refusals++
	}
	cause := t.cause()
	t.loop.wake(t)
	t.park()
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
			// Goexit, which no one can call off: when this coroutine ends, so will the goroutine that resumed it. So it
			// is left here until the loop's own goroutine has nothing else to do.
			t.loop.result = errGoexit
			t.loop.bury(t)
		}
	}()
	if t.fn != nil {
		t.loop.result = t.fn(t.task())
	} else {
		t.loop.result = t.conn.handler(t.serves())
	}
	returned = true
}
