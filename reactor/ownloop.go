package reactor

import (
	"context"
	"errors"
	"fmt"
)

// errOwnLoop is that of a call that waits for the loop that its caller runs on, and so would wait for ever.
var errOwnLoop = errors.New("it waits for the loop that it was called on; call it on another goroutine")

// errRunOnLoop is that of Run, and of Serve and Handle, on another loop.
var errRunOnLoop = errors.New("reactor: Run was called on a loop, which it would hold up; call it on another goroutine")

// isHere reports whether its caller runs on the loop. Any goroutine may ask. If neither goroutines nor threads can be
// told apart it is false.
func (l *Loop) isHere() bool {
	here, _ := loopHere()
	return here == l
}

// mustNotBeOn returns an error if call, which waits for the loops, comes from one of them.
func mustNotBeOn(call string, loops ...*Loop) error {
	for _, l := range loops {
		if l.isHere() {
			return fmt.Errorf("reactor: %s: %w", call, errOwnLoop)
		}
	}
	return nil
}

// askLoops has each of the loops call fn, and waits for the results until ctx ends. The result is zero for a loop that
// does not run, and, beside an error, for one that has not answered.
func askLoops[T any](ctx context.Context, call string, loops []*Loop, fn func(*Loop) T) ([]T, error) {
	if ctx == nil {
		return nil, noContext(call)
	}
	if err := mustNotBeOn(call, loops...); err != nil {
		return nil, err
	}
	all := make([]T, len(loops))
	answers := make([]chan T, len(loops))
	var errs []error
	for i, l := range loops {
		l.mustBeMade()
		if l.state.Load() == fresh {
			continue
		}
		answer := make(chan T, 1)
		switch err := l.Post(func() { answer <- fn(l) }); err {
		case nil:
			answers[i] = answer
		case ErrLoopEnded:
		default:
			errs = append(errs, err)
		}
	}
	for i, l := range loops {
		if answers[i] == nil {
			continue
		}
		select {
		case all[i] = <-answers[i]:
		case <-l.finished: // and perhaps without having run the function
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("reactor: loop %d does not answer: %w", l.place(), context.Cause(ctx)))
		}
	}
	return all, errors.Join(errs...)
}
