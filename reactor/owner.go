package reactor

import (
	"sync/atomic"

	"github.com/eyewall/eyewall/internal/goroutine"
)

// owner is the loop that a primitive belongs to: the first that has used it. When that has ended the next one may. The
// zero owner is none.
type owner struct{ loop atomic.Pointer[Loop] }

// enter is Task.current, for a task of the owner, which the task's loop becomes if there is none.
func (o *owner) enter(t Task) (*task, error) {
	s, err := t.current()
	if err == nil && !o.belongsTo(s.loop) {
		return nil, ErrWrongGoroutine
	}
	return s, err
}

// belongsTo reports whether l is the owner, or has become it.
func (o *owner) belongsTo(l *Loop) bool {
	now := o.loop.Load()
	return now == l || (now == nil || now.state.Load() == ended) && o.loop.CompareAndSwap(now, l)
}

// mustBeHere panics if its caller does not run on the owner. If there is none, the loop that the caller runs on becomes
// it; outside of loops, anybody may use a primitive that is nobody's.
func (o *owner) mustBeHere() {
	now := o.loop.Load()
	if now != nil && goroutine.Is(&now.goroutine) { // as mostly
		return
	}
	if now == nil || now.state.Load() == ended {
		l, _ := loopHere()
		if l == nil || o.belongsTo(l) {
			return
		}
		now = o.loop.Load()
	}
	now.mustBeHere()
}
