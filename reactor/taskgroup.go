package reactor

import (
	"errors"
	"fmt"
)

// TaskGroup is tasks that end before the call of Task.Together that began the group does: its children. It is used by
// what runs on their loop.
type TaskGroup struct {
	task     *task  // that called Together
	scope    *scope // around body
	first    *member
	n        int // children that have not ended
	joining  bool
	returned bool // body has
	over     bool
	err      error       // the first
	panicked *PanicError // the first child's
}

// member is a child of a group.
type member struct {
	group      *TaskGroup
	fn         func(Task) error
	task       *task
	prev, next *member
}

// Together runs body, which starts tasks by g.Go, and returns when it and all of these have ended: structured
// concurrency. The first error that one of them returns, body or child, is what Together returns; it cancels the others,
// whose waits, body's included, end with an error that wraps both it and context.Canceled. So does a panic of a child,
// which Together raises again as a *PanicError with the child's stack; and a panic of body, or Goexit, goes on when the
// children have ended. What ends the calling task's waits ends the children's, with its cause.
//
// A child that was canceled by itself (Task.Cancel) and returns that cause has not failed.
func (t Task) Together(body func(g *TaskGroup) error) error {
	s, err := t.enter()
	if err != nil {
		return err
	}
	defer s.leave()
	g := &TaskGroup{task: s.task, scope: s}
	s.group = g
	defer g.unwind()
	if err := body(g); err != nil && !g.meant(err, s.cause) {
		g.fail(err)
	}
	g.join()
	g.returned = true
	if g.panicked != nil {
		panic(g.panicked)
	}
	return g.err
}

// Go starts fn as a child. Body and children may call it, until Together returns; after that it panics. A child that is
// started when the group is canceled sees its waits refused.
func (g *TaskGroup) Go(fn func(Task) error) Task {
	g.task.loop.mustBeHere()
	if g.over {
		panic("reactor: TaskGroup.Go was called after Together had returned")
	}
	c := &member{group: g, fn: fn, next: g.first}
	if g.first != nil {
		g.first.prev = c
	}
	g.first = c
	g.n++
	c.task = g.task.loop.spawn(c.run)
	whole := c.task.innermost()
	whole.from, whole.child = g.scope, c
	if cause := g.scope.why(); cause != nil {
		c.task.cancelWith(cause)
	}
	return c.task.task()
}

// Cancel ends the waits of body and of the children with ErrCanceled. That they return that is no error.
func (g *TaskGroup) Cancel() {
	g.task.loop.mustBeHere()
	g.scope.end(ErrCanceled)
}

// run is the child's function. What it ends with is the group's, and nothing to the loop.
func (c *member) run(t Task) error {
	var err error
	defer func() {
		var p *PanicError
		if v := recover(); v != nil {
			p = newPanicError(v)
		}
		c.group.ended(c, err, p)
	}()
	err = c.fn(t)
	return nil
}

// ended is told that a child has ended, or as good as.
func (g *TaskGroup) ended(c *member, err error, p *PanicError) {
	if c.prev == nil {
		g.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	g.n--
	switch {
	case g.over: // of a loop whose backend broke
		return
	case p != nil:
		if g.panicked == nil {
			g.panicked = p
		}
		g.fail(p)
	case err != nil && !g.meant(err, c.task.outermost().cause):
		g.fail(err)
	}
	if g.n == 0 && g.joining {
		g.task.loop.wake(g.task)
	}
}

// meant tells whether err is how one that was canceled for cause was to end, and the caller has not been canceled.
func (g *TaskGroup) meant(err, cause error) bool {
	return endsFor(err, cause) && g.scope.outer.why() == nil
}

// fail ends the group for err, unless it has another reason already.
func (g *TaskGroup) fail(err error) {
	if g.err == nil {
		g.err = err
		g.scope.end(&siblingError{err})
	}
}

// cancelAll ends the children's waits; g may be nil.
func (g *TaskGroup) cancelAll(cause error) {
	if g == nil {
		return
	}
	for c := g.first; c != nil; c = c.next {
		c.task.cancelWith(cause)
	}
}

// join waits until the children have ended, whatever happens to the caller meanwhile.
func (g *TaskGroup) join() {
	t := g.task
	t.loop.inside++
	defer func() {
		t.loop.inside--
		g.joining, t.waits = false, waitsForOther
	}()
	for g.n > 0 {
		g.joining, t.waits = true, waitsForChildren
		t.park()
	}
}

// unwind ends the group where Together does, which may be by a panic of body or Goexit.
func (g *TaskGroup) unwind() {
	defer func() { g.over = true }()
	if g.returned {
		return
	}
	v := recover() // raised again below, on top of the stack that it has
	cause := g.panicked
	g.scope.end(ErrCanceled)
	g.join()
	switch {
	case cause != nil: // which is why body has panicked
		panic(cause)
	case v != nil:
		panic(v)
	case g.panicked != nil: // and body called Goexit
		panic(g.panicked)
	}
}

// siblingError is why the waits of the others in a group end.
type siblingError struct{ first error }

func (e *siblingError) Error() string {
	return fmt.Sprintf("reactor: another task of the group has failed: %v", e.first)
}

func (e *siblingError) Unwrap() []error { return []error{ErrCanceled, e.first} }

// Start starts fn as a child of g, and returns a promise of its result. An error is the group's, too, as in Go.
func Start[T any](g *TaskGroup, fn func(Task) (T, error)) *Promise[T] {
	p := new(Promise[T])
	g.Go(func(t Task) error {
		defer func() { p.Set(*new(T), errNoResult) }() // unless it is set
		value, err := fn(t)
		p.Set(value, err)
		return err
	})
	return p
}

// First runs the functions as tasks, all at once, and returns the result of the one that ends first, be it an error.
// The others are canceled, and have ended when First returns; what they return all the same is dropped, so that they
// have to close what they opened when they are canceled. A panic is raised again, as by Together.
func First[T any](t Task, fns ...func(Task) (T, error)) (T, error) {
	var value T
	err := errNoFirst
	decided := false
	stopped := t.Together(func(g *TaskGroup) error {
		for _, fn := range fns {
			g.Go(func(t Task) error {
				v, e := fn(t)
				if !decided {
					decided = true
					value, err = v, e
					g.Cancel()
				}
				return nil
			})
		}
		return nil
	})
	if stopped != nil {
		return value, stopped
	}
	return value, err
}

var errNoFirst = errors.New("reactor: First has no result: it was given no function, or each called runtime.Goexit")
