package reactor

import "errors"

// Promise is a result that comes later, for any number of tasks to wait for. It is set once. The zero Promise waits to be
// set by what runs on its tasks' loop.
type Promise[T any] struct {
	value   T
	err     error
	set     bool
	waiters waitQueue
}

// Set gives the promise its result, an error or a value, and tells whether it was the first to do so: later ones change
// nothing. It does not wait.
func (p *Promise[T]) Set(value T, err error) bool {
	if p.set {
		return false
	}
	p.value, p.err, p.set = value, err, true
	p.waiters.grantAll()
	return true
}

// Done tells whether the promise is set.
func (p *Promise[T]) Done() bool { return p.set }

// Wait waits until the promise is set, and returns what with. Where the task is canceled before, the error is why.
func (p *Promise[T]) Wait(t Task) (T, error) {
	s, err := t.current()
	if err == nil && !p.set {
		err = p.waiters.wait(s, waitsForPromise, 0, nil)
	}
	if err != nil {
		return *new(T), err
	}
	return p.value, p.err
}

// errNoResult is that of a promise whose task did not return.
var errNoResult = errors.New("reactor: the task that was to give the result has panicked, or called runtime.Goexit")
