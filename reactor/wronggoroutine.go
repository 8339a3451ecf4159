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

// here tells whether it is called on the loop's thread, and reports it if not: once for each place. What a goroutine does
// before Run and after it is its own business.
func (d *debugging) here() bool {
	if thread := d.thread.Load(); thread == 0 || thread == int64(threadID()) {
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

// elsewhere tells whether what belongs to l is used by another goroutine, where debug mode looks.
func (l *Loop) elsewhere() bool { return l.debug != nil && !l.debug.here() }
