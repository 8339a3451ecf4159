package reactor

import "errors"

// Promise is a result that comes later, for any number of tasks of one loop to wait for. It is set once. The zero Promise
// is for what runs on that loop; one that NewPromise makes can also be set from elsewhere.
type Promise[T any] struct {
	owner   owner
	value   T
	err     error
	set     bool
	waiters waitQueue
	loop    *Loop // whose tasks wait for it, where it can be set from elsewhere; else nil
}

// NewPromise makes a promise for l's tasks that any goroutine can set, by Post. Any goroutine may call it.
func NewPromise[T any](l *Loop) *Promise[T] {
	p := &Promise[T]{loop: l}
	p.owner.loop.Store(l)
	return p
}

// Post has the promise set, soon, by Set: for a promise that NewPromise has made. The error is ErrLoopEnded, or
// ErrPostFull; the promise is not set then. Any goroutine may call it.
func (p *Promise[T]) Post(value T, err error) error {
	if p.loop == nil {
		return errNoLoop
	}
	return p.loop.Post(func() { p.Set(value, err) })
}

var errNoLoop = errors.New("reactor: Post needs a Promise that NewPromise has made")

// Set gives the promise its result, an error or a value, and tells whether it was the first to do so: later ones change
// nothing. It does not wait.
func (p *Promise[T]) Set(value T, err error) bool {
	p.owner.mustBeHere()
	if p.set {
		return false
	}
	p.value, p.err, p.set = value, err, true
	p.waiters.grantAll()
	return true
}

// Done tells whether the promise is set.
func (p *Promise[T]) Done() bool {
	p.owner.mustBeHere()
	return p.set
}

// Wait waits until the promise is set, and returns what with. Where the task is canceled before, the error is why.
func (p *Promise[T]) Wait(t Task) (T, error) {
	s, err := p.owner.enter(t)
	if err == nil && !p.set {
		err = p.wait(s)
	}
	if err != nil {
		return *new(T), err
	}
	return p.value, p.err
}

func (p *Promise[T]) wait(s *task) error {
	if p.loop != nil {
		if s.loop != p.loop {
			return ErrWrongGoroutine
		}
		p.loop.outside++
		defer func() { p.loop.outside-- }()
	}
	return p.waiters.wait(s, waitsForPromise, 0, nil)
}

// errNoResult is that of a promise whose task did not return.
var errNoResult = errors.New("reactor: the task that was to give the result has panicked, or called runtime.Goexit")
