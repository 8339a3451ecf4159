package event

import (
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Sleep waits for a time; not at all, but to let others run, when that is not positive.
type Sleep struct {
	For time.Duration
}

// Register implements Event.
func (e *Sleep) Register(r Reactor) error {
	if e.For <= 0 {
		r.Ready(nil)
		return nil
	}
	r.Timer(after(r, e.For))
	return nil
}

// Resume implements Event.
func (e *Sleep) Resume(Reactor, *backend.Completion) (bool, error) { return true, nil }

// Yield lets the other tasks that are ready run first.
type Yield struct{}

// Register implements Event.
func (Yield) Register(r Reactor) error {
	r.Ready(nil)
	return nil
}

// Resume implements Event.
func (Yield) Resume(Reactor, *backend.Completion) (bool, error) { return true, nil }
