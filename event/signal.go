package event

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"

	"github.com/eyewall/eyewall/backend"
)

// Signal waits for one of Signals. From the first wait on, and until Stop, the process catches them in place of what they
// do otherwise; see os/signal. What comes between two waits, or when one has just been canceled, ends the next one. Of
// one signal that comes several times meanwhile that may be told once, as signal(7) has it; none is lost of different
// ones. Several Signals may wait for the same: each is told.
//
// For as long as a wait lasts a goroutine waits with it.
type Signal struct {
	Signals []os.Signal // at least one; not to be changed until Stop

	// Got is the signal that came; nil beside an error, but for one that came as the wait was given up (Task.AwaitFirst).
	Got os.Signal

	r       Reactor          // of the wait; nil while there is none
	caught  []chan os.Signal // one for each of Signals; nil while they are not caught
	pending []os.Signal      // came too late for a wait, the oldest first
	stop    chan struct{}    // ends the wait's goroutine
}

var errNoSignals = errors.New("event: Signal needs signals to wait for")

// Reset implements Resetter.
func (e *Signal) Reset() { e.Got = nil }

// Register implements Event.
func (e *Signal) Register(r Reactor) error {
	e.Reset()
	if len(e.Signals) == 0 {
		return errNoSignals
	}
	if e.r != nil {
		return fmt.Errorf("event: %v is waited for already: a Signal is one wait's at a time", e.Signals)
	}
	e.catch()
	e.collect()
	if len(e.pending) > 0 {
		e.Got, e.pending = e.pending[0], e.pending[1:]
		r.Ready(nil)
		return nil
	}
	e.r, e.stop = r, make(chan struct{})
	r.Hold()
	go e.wait(r, e.caught, e.stop)
	return nil
}

// Resume implements Event.
func (e *Signal) Resume(Reactor, *backend.Completion) (bool, error) { return true, nil }

// Leave implements Leaver.
func (e *Signal) Leave() {
	if e.stop != nil {
		close(e.stop)
	}
	e.r, e.stop = nil, nil
}

// Stop has the signals do again what they did before, unless something else catches them. It is to follow the last wait.
func (e *Signal) Stop() {
	for _, c := range e.caught {
		signal.Stop(c)
	}
	e.caught, e.pending = nil, nil
}

// catch begins to catch the signals. Each has a channel of its own, in which it cannot be lost for want of room.
func (e *Signal) catch() {
	if e.caught != nil {
		return
	}
	for _, s := range e.Signals {
		c := make(chan os.Signal, 1)
		signal.Notify(c, s)
		e.caught = append(e.caught, c)
	}
}

// collect takes in what has come.
func (e *Signal) collect() {
	for _, c := range e.caught {
		select {
		case s := <-c:
			e.keep(s)
		default:
		}
	}
}

func (e *Signal) keep(s os.Signal) {
	if !slices.Contains(e.pending, s) {
		e.pending = append(e.pending, s)
	}
}

// wait is the goroutine of a wait: it takes one signal, or none where stop comes first.
func (e *Signal) wait(r Reactor, caught []chan os.Signal, stop chan struct{}) {
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(stop)}}
	for _, c := range caught {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c)})
	}
	if i, v, _ := reflect.Select(cases); i > 0 {
		s := v.Interface().(os.Signal)
		r.Post(func() { e.came(s) })
	}
}

// came is told of a signal on the loop. The wait that it was taken for may be over, and be followed by another one.
func (e *Signal) came(s os.Signal) {
	if e.r == nil {
		if e.caught != nil { // else Stop was called
			e.keep(s)
		}
		return
	}
	r := e.r
	e.r = nil
	e.Got = s
	r.Ready(nil)
}
