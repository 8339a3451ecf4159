package reactor

import (
	"context"
	"time"

	"github.com/eyewall/eyewall/internal/timers"
)

// scope is a part of what a task does whose waits can be ended apart from the rest. The outermost one, if there is any,
// is the whole task.
type scope struct {
	task  *task  // nil once it is left
	outer *scope // also the next in the loop's list of spare ones
	cause error  // why its waits end; nil while they need not
	timer timers.Timer[expirer]

	group    *TaskGroup      // whose body it is around, or nil
	from     *scope          // a child's outermost one: its group's; else nil
	child    *member         // the same: what it is in its group
	shield   bool            // what ends outer ones does not reach into it
	base     context.Context // that it was entered with, or nil
	deadline time.Time       // or zero

	ctx    context.Context // of Task.Context; nil until that is asked for
	cancel context.CancelCauseFunc
}

// Timeout runs body, and ends its waits with context.DeadlineExceeded when d is over: the one that is going on, and later
// ones until body returns. It returns what body returns, and what comes after it waits as before. A timeout that is not
// positive has passed.
func (t Task) Timeout(d time.Duration, body func() error) error {
	s, err := t.enter()
	if err != nil {
		return err
	}
	defer s.leave()
	s.deadline = time.Now().Add(d)
	if d <= 0 {
		s.end(context.DeadlineExceeded)
	} else {
		l := s.task.loop
		l.setTimer(&s.timer, s, l.after(d))
		l.timeouts++
	}
	return body()
}

// With runs body as a part of ctx: when ctx ends, body's waits end with its cause. It returns what body returns.
// Task.Context derives from ctx meanwhile, and so has its values.
func (t Task) With(ctx context.Context, body func() error) error {
	s, err := t.enter()
	if err != nil {
		return err
	}
	defer s.leave()
	s.base = ctx
	if ctx.Err() != nil {
		s.end(context.Cause(ctx))
		return body()
	}
	l := s.task.loop
	stop := context.AfterFunc(ctx, func() {
		l.mustPost(func() { s.end(context.Cause(ctx)) })
	})
	defer stop()
	if ctx.Done() != nil {
		l.outside++
		defer func() { l.outside-- }()
	}
	return body()
}

// Shield runs body, whose waits are not ended by what would end the task's otherwise: Cancel, and scopes around it. That
// happens once body has returned. Only the end of the loop reaches into it.
func (t Task) Shield(body func() error) error {
	s, err := t.enter()
	if err != nil {
		return err
	}
	defer s.leave()
	s.shield = true
	s.task.update()
	return body()
}

// Context is a context that ends when the task's waits do, here and now, with the same cause: by Cancel, by a Timeout
// or a With around the call; with context.Canceled when the innermost of these is left, or the task has ended; and
// with Run's context, whose cause it has then. It derives from With's context, or else from Run's, in a child of a
// TaskGroup as in the task that called Together, and any goroutine may use it. A context that is derived from it has
// Err context.Canceled where its own is context.DeadlineExceeded, with that as cause.
func (t Task) Context() context.Context {
	if t.Done() {
		return endedContext
	}
	return t.t.innermost().context()
}

// endedContext is that of a task that has ended.
var endedContext = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// outermost is the scope that is the whole task; it has one.
func (t *task) outermost() *scope {
	s := t.scope
	for s.outer != nil {
		s = s.outer
	}
	return s
}

// innermost is the scope that the task is in.
func (t *task) innermost() *scope {
	if t.scope == nil {
		s := t.loop.newScope()
		s.task, s.cause = t, t.cause()
		t.scope = s
	}
	return t.scope
}

// enter begins a scope within the one that the task is in.
func (t Task) enter() (*scope, error) {
	c, err := t.current()
	if err != nil {
		return nil, err
	}
	s := c.loop.newScope()
	s.task, s.outer = c, c.innermost()
	c.scope = s
	return s, nil
}

// newScope has a scope ready, for a timeout for each message is to allocate nothing.
func (l *Loop) newScope() *scope {
	s := l.spareScopes
	if s == nil {
		return new(scope)
	}
	l.spareScopes, s.outer = s.outer, nil
	return s
}

// leave ends the scope, which is the innermost. Where body was left by a panic or by Goexit, too.
func (s *scope) leave() {
	t := s.task
	if s.timer.Active() {
		t.loop.timers.Stop(&s.timer)
		t.loop.timeouts--
	}
	s.task, t.scope = nil, s.outer
	s.endContext(context.Canceled)
	t.update()
	if s.ctx == nil && s.base == nil && s.group == nil { // else it may still be asked, or told, something
		*s = scope{outer: t.loop.spareScopes}
		t.loop.spareScopes = s
	}
}

// leaveAll ends what is left when the task has ended, and returns why its waits had ended, if they had.
func (t *task) leaveAll() (cause error) {
	cause = t.cause()
	for t.scope != nil {
		t.scope.leave()
	}
	return cause
}

// end ends the scope's waits.
func (s *scope) end(cause error) {
	if s.task == nil || s.cause != nil {
		return
	}
	s.cause = cause
	t := s.task
	t.update()
	for inner := t.scope; ; inner = inner.outer { // the contexts of those within end first, and all with this cause
		if t.reaches(inner, s) {
			inner.endContext(cause)
			inner.group.cancelAll(cause)
		}
		if inner == s {
			return
		}
	}
}

// reaches tells whether what ends the scope from ends inner, which is within it, too.
func (t *task) reaches(inner, from *scope) bool {
	for s := inner; s != from; s = s.outer {
		if s.shield && !t.loop.stopping {
			return false
		}
	}
	return true
}

func (s *scope) expire(l *Loop) {
	l.timeouts--
	s.end(context.DeadlineExceeded)
}

// why is the reason for which waits in the scope end at this moment; nil if they need not.
func (s *scope) why() error {
	for at := s; at != nil; at = at.outer {
		switch {
		case at.cause != nil:
			return at.cause
		case at.shield && !s.task.loop.stopping:
			return nil
		}
	}
	return nil
}

// cause is the reason for which the task's waits end at this moment; nil if they need not.
func (t *task) cause() error {
	switch {
	case t.scope != nil:
		return t.scope.why()
	case t.canceled && t.loop.stopping:
		return t.loop.why()
	case t.canceled:
		return ErrCanceled
	}
	return nil
}

// update has a wait that is going on end if it must by now.
func (t *task) update() {
	if t.canceled = t.cause() != nil; t.canceled {
		t.loop.wake(t)
	}
}

// cancelWith ends the task's waits for that reason.
func (t *task) cancelWith(cause error) {
	switch {
	case t.done:
	case t.scope == nil && (cause == ErrCanceled || cause == t.loop.cut):
		t.canceled = true
		t.loop.wake(t)
	default:
		t.innermost()
		s := t.outermost()
		if s.cause == nil {
			s.end(cause)
		} else if t.loop.stopping { // which reaches where the first cause did not
			t.update()
			for inner := t.scope; inner != nil; inner = inner.outer {
				inner.endContext(inner.why())
			}
		}
	}
}

// context is the scope's, for others to be ended by.
func (s *scope) context() context.Context {
	if s.ctx != nil {
		return s.ctx
	}
	parent := s.base
	switch {
	case parent != nil:
	case s.outer != nil:
		parent = s.outer.context()
	case s.from != nil && s.from.task != nil:
		parent = s.from.context()
	default:
		parent = s.task.loop.ctx
	}
	if s.shield {
		parent = context.WithoutCancel(parent)
	}
	ctx, cancel := context.WithCancelCause(parent)
	s.ctx, s.cancel = scopeContext{ctx, s.earliest(ctx)}, cancel
	if cause := s.why(); cause != nil {
		s.cancel(cause)
	}
	return s.ctx
}

func (s *scope) endContext(cause error) {
	if s.cancel != nil {
		s.cancel(cause)
	}
}

// earliest is when the first of the timeouts that reach the scope, or ctx, is over; zero if none ever is.
func (s *scope) earliest(ctx context.Context) time.Time {
	first, _ := ctx.Deadline()
	for at := s; at != nil && !at.shield; at = at.outer {
		if !at.deadline.IsZero() && (first.IsZero() || at.deadline.Before(first)) {
			first = at.deadline
		}
	}
	return first
}

// scopeContext tells of deadlines that the loop sees to, and of their passing as contexts do.
type scopeContext struct {
	context.Context
	at time.Time // zero: none
}

func (c scopeContext) Deadline() (time.Time, bool) { return c.at, !c.at.IsZero() }

func (c scopeContext) Err() error {
	err := c.Context.Err()
	if err != nil && context.Cause(c.Context) == context.DeadlineExceeded {
		return context.DeadlineExceeded
	}
	return err
}
