package reactor

import (
	"errors"
	"runtime"
	"sync"

	"github.com/eyewall/eyewall/internal/goroutine"
)

// ErrWrongGoroutine is the error of a call that is for code on a loop, and came from another goroutine, or from
// another loop. The call has done nothing. One that has no error to return panics with it. See the package's
// documentation, "Which goroutine may call what".
var ErrWrongGoroutine = errors.New("reactor: what belongs to a loop was used by another goroutine: " +
	"Conn.Shared and Listener.Shared make what any goroutine may use, and Loop.Post calls a function on the loop")

// A loop's own code and its tasks run on coroutines, one at a time, all on the loop's thread. Loop.goroutine is the one
// that was resumed last. A caller on another goroutine is either an iterator that a task has made by iter.Pull, which
// runs on the same thread, or has no business here.

// Loop.thread has these values while it names no thread.
const (
	noThread      = 0  // Run has just begun
	unknownThread = -1 // threads have no numbers here
)

// loopsThatRun is the loops whose Run has begun and not ended.
var loopsThatRun sync.Map // of *Loop

// elsewhere reports whether its caller does not run on the loop; debug mode tells of that. Any goroutine may call it,
// and must before it looks at anything that belongs to the loop. Before Run and after it, whoever has the loop is its
// owner.
//
// If goroutines cannot be told apart in a few instructions (goroutine.Known), only debug mode looks.
func (l *Loop) elsewhere() bool { return !goroutine.Is(&l.goroutine) && l.looksElsewhere() }

//go:noinline
func (l *Loop) looksElsewhere() bool {
	if !goroutine.Known && l.debug == nil || l.owns() {
		return false
	}
	if l.debug != nil {
		l.debug.isUsedElsewhere()
	}
	return true
}

// mustBeHere panics if its caller does not run on the loop: it is for calls that have no error to return.
func (l *Loop) mustBeHere() {
	if l.elsewhere() {
		panic(ErrWrongGoroutine)
	}
}

// owns reports whether its caller runs on the loop's thread, or the loop does not run.
func (l *Loop) owns() bool {
	l.mustBeMade()
	if l.state.Load() != running {
		return true
	}
	switch thread := l.thread.Load(); thread {
	case noThread:
		return false
	case unknownThread:
		return l.seemsToOwn()
	default:
		return thread == threadID()
	}
}

// seemsToOwn reports whether its caller is the goroutine that the loop has run last, or else one that is locked to a
// thread, as those that iter.Pull makes in tasks are, and that no other loop has run last. It takes microseconds. A
// goroutine that iter.Pull has made in a task of another loop is taken for the loop's.
func (l *Loop) seemsToOwn() bool {
	id, locked := numberAndLock()
	if l.runsOn(id) {
		return true
	}
	if !locked {
		return false
	}
	for other := range loopsThatRun.Range {
		if other.(*Loop).runsOn(id) {
			return false
		}
	}
	return true
}

// runsOn reports whether the loop runs on its caller, the goroutine of that number.
func (l *Loop) runsOn(id uint64) bool {
	return goroutine.Is(&l.goroutine) || l.debug != nil && l.debug.now.Load().goroutine.Load() == id
}

// loopHere reports whether its caller runs on a loop, and on which one; an iterator that a task has made by iter.Pull
// does. The thread tells: Loop.goroutine may have ended, and another goroutine may have its ID. If threads have no
// numbers, the loop may be unknown, and any goroutine that is locked to its thread is taken for a loop's.
func loopHere() (*Loop, bool) {
	// A caller that moved to another thread meanwhile would leave its thread to a loop that begins.
	runtime.LockOSThread()
	l := loopOn(threadID())
	runtime.UnlockOSThread()
	if l != nil || threadID() != unknownThread {
		return l, l != nil
	}
	_, locked := numberAndLock()
	return nil, locked
}

// loopOn is the loop that runs on the thread, the caller's, or nil.
func loopOn(thread int64) *Loop {
	for l := range loopsThatRun.Range {
		l := l.(*Loop)
		switch at := l.thread.Load(); {
		case at == unknownThread && goroutine.Is(&l.goroutine), at != unknownThread && at == thread:
			return l
		}
	}
	return nil
}

// beginsHere makes its caller's thread the loop's.
func (l *Loop) beginsHere() {
	l.thread.Store(threadID())
	loopsThatRun.Store(l, nil)
}

// endsHere is called when no task is left, and no coroutine will run any more that could be mistaken.
func (l *Loop) endsHere() {
	l.goroutine = 0
	loopsThatRun.Delete(l)
}

// toldOf is the places that were reported.
type toldOf struct {
	mu     sync.Mutex
	places map[site]bool
}

// site is the innermost functions of a stack.
type site [8]uintptr

const maxPlaces = 1000

// isUsedElsewhere reports a use by another goroutine, once for each place.
func (d *debugging) isUsedElsewhere() {
	at := stackAbove(5) // from the caller of elsewhere
	var p site
	copy(p[:], at)
	d.told.mu.Lock()
	if d.told.places == nil {
		d.told.places = map[site]bool{}
	}
	known := d.told.places[p] || len(d.told.places) == maxPlaces
	if !known {
		d.told.places[p] = true
	}
	d.told.mu.Unlock()
	if !known {
		const text = "what belongs to a loop is used by another goroutine"
		d.report(DebugReport{Kind: WrongGoroutine, Text: text, Stack: at.String()})
	}
}
