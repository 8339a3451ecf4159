// Package event is what a task can yield when it must wait: Accept, Read, Write, Connect, Sleep and their family, and
// the [Event] interface, which is open for users to implement.
//
// A task yields an event with Task.Await and goes on when it is over:
//
//	read := &event.Read{FD: fd}
//	err := t.Await(read)
//
// An event is one wait's at a time; yield it again once that is over, which clears its results. Events belong to the
// loop of the task that yields them: nothing here may be used from other goroutines.
package event

import (
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Event is something that a task waits for.
//
// Await calls Register once, then Resume for every completion of what Register and Resume submitted, until Resume
// returns true or Ready is called. Then it cancels what is still in flight, and hands the completions of that to Resume,
// too (what it returns counts no more), so that none of them is lost: when Await returns, nothing is in flight. Both are
// called on the loop, and neither may wait.
//
// An event that keeps results of its wait is a Resetter.
type Event interface {
	// Register starts what the event waits for: it submits an operation, sets the timer, or calls Ready or Hold. An
	// error ends the wait with it.
	Register(r Reactor) error
	// Resume takes a completion, the timer's included, and tells whether the wait is over and with which error. A lease
	// in it is the event's to release, a descriptor its to close.
	Resume(r Reactor, c *backend.Completion) (over bool, err error)
}

// Reactor is the loop as an event sees it while a task waits. But for Now and Post its methods are for code that runs
// on the loop, and panic with reactor.ErrWrongGoroutine if another goroutine calls them.
type Reactor interface {
	// Submit starts an operation, whose Sink is set for it. Its completions come to Resume. Once the wait is over or
	// canceled nothing but a Close is started: the Token is zero then, and no completion comes.
	Submit(op backend.Op) backend.Token
	// Cancel asks for an early end of one of them.
	Cancel(t backend.Token)
	// Timer sets the event's one timer: at that time of Now's clock Resume gets a completion with the zero Token and
	// ErrDeadline. Setting it again moves it.
	Timer(at time.Duration)
	// Now is the time on the backend's clock.
	Now() time.Duration
	// Release gives a lent buffer back.
	Release(l backend.Lease)
	// Ready ends the wait. It may come from within Register and Resume, and, where Hold was called, from any function
	// that runs on the loop (as Loop.Post makes one do) until Await has returned.
	Ready(err error)
	// Hold says that Ready will come from elsewhere, though nothing is submitted and no timer set. An event that starts
	// something for that, and is to end it, is a Leaver.
	Hold()
	// Post has fn called on the loop, between tasks, soon. It is for other goroutines than the loop's, at any time: it
	// waits while the loop has too much to do. The error is that of a loop that has ended; fn is not called then.
	Post(fn func()) error
}

// Resetter is an event that keeps results. Await calls Reset before each wait, also before one that it refuses
// because the task is canceled: a result in the event after a wait is never one of an earlier wait. Reset is called
// on the loop, and must not wait.
type Resetter interface {
	Event
	// Reset clears the results, and gives back a buffer that was lent with them.
	Reset()
}

// Leaver is an event that is told of the end of a wait for which it has called Hold, be it by Ready or by the task's
// cancellation. Leave is called on the loop, before Await returns, and must not wait.
type Leaver interface {
	Event
	Leave()
}
