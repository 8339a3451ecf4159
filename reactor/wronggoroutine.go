package reactor

import (
	"fmt"
	"sync"
)

// errWrongGoroutine is that of a call which would wait, and would have the runtime end the process.
var errWrongGoroutine = fmt.Errorf("reactor: what belongs to a loop was used by another goroutine: %w", ErrNotTask)

// toldOf is the places that were reported.
type toldOf struct {
	mu     sync.Mutex
	places map[site]bool
}

// site is the innermost functions of a stack.
type site [8]uintptr

const maxPlaces = 1000

// What debugging.thread is where it is no thread.
const (
	noThread      = 0  // the loop does not run
	unknownThread = -1 // threads have no numbers here
)

// loopsInDebug is those that run.
var loopsInDebug sync.Map // of *debugging

// here tells whether it is called on the loop, and reports it if not: once for each place. What a goroutine does before
// Run and after it is its own business.
func (d *debugging) here() bool {
	if d.isHere() {
		return true
	}
	at := stack()
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
		d.report(DebugReport{Kind: WrongGoroutine, Text: "what belongs to a loop is used by another goroutine", Stack: at.String()})
	}
	return false
}

func (d *debugging) isHere() bool {
	switch thread := d.thread.Load(); thread {
	case noThread:
		return true
	case unknownThread:
		return d.owns()
	default:
		return thread == threadID()
	}
}

// owns tells whether its caller is one of the loop's goroutines: that which the loop has run last, or else one that is
// locked to a thread, as those that iter.Pull makes in tasks are, and is no other loop's. It takes microseconds.
func (d *debugging) owns() bool {
	id, locked := goroutine()
	if d.runsOn(id) {
		return true
	}
	if !locked {
		return false
	}
	for other := range loopsInDebug.Range {
		if other.(*debugging).runsOn(id) {
			return false
		}
	}
	return true
}

func (d *debugging) runsOn(id uint64) bool { return d.now.Load().goroutine.Load() == id }

// elsewhere tells whether what belongs to l is used by another goroutine, where debug mode looks.
func (l *Loop) elsewhere() bool { return l.debug != nil && !l.debug.here() }
