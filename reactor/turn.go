package reactor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/timers"
)

// main is the loop's goroutine. It does nothing but hand the loop from one coroutine to the next: where a handler has to
// wait, it does so on the coroutine that was running the loop, and another one takes the loop over.
func (l *Loop) main(ctx context.Context, result chan<- error) {
	runtime.LockOSThread()
	defer func() {
		if l.unpin != nil {
			l.unpin()
		}
		runtime.UnlockOSThread()
		result <- l.err
	}()
	l.beginsHere()
	if err := l.begin(); err != nil {
		l.fail(fmt.Errorf("reactor: %w", err))
	} else {
		stop := context.AfterFunc(ctx, func() {
			cause := context.Cause(ctx)
			l.quit.Store(&cause)
			l.backend.Wake()
		})
		for !l.over {
			l.carry()
		}
		stop()
		if l.debug != nil {
			l.debug.ends()
		}
	}
	l.endsHere()
	l.posts.close()
	close(l.finished) // before it waits for offloaded work, which may be what waits for this
	if err := l.offload.join(); err != nil && l.err == nil {
		l.err = err
	}
	l.pool.drop()
	if err := l.free(); err != nil && l.err == nil {
		l.err = fmt.Errorf("reactor: %w", err)
	}
	l.resting.Store(true)
	l.state.Store(ended)
}

// begin makes the thread the loop's.
func (l *Loop) begin() error {
	if l.cpu >= 0 {
		unpin, err := pin(l.cpu)
		if err != nil {
			return err
		}
		l.unpin = unpin
	}
	if err := l.backend.Start(); err != nil {
		return err
	}
	if l.debug != nil {
		l.debug.begins()
	}
	return nil
}

// carry has a coroutine run the loop until that is over, or a handler waits on it.
func (l *Loop) carry() {
	co := l.pool.get()
	co.task = l.allocTask()
	co.task.co = co
	l.carrier = co
	l.goroutine = co.goroutine
	co.next()
	l.goroutine = 0 // the coroutine may end now, and its ID become another's
	if l.carrier == co {
		l.carrier = nil
		l.put(co)
	}
	l.unwindExiting()
}

// work turns the loop for as long as it is co that carries it.
func (l *Loop) work(co *coroutine) {
	if l.debug != nil {
		l.debug.carries()
	}
	for l.carrier == co && !l.over {
		l.turns(co)
	}
}

// turns turns the loop until that is over, or co no longer carries it. A panic of what is not a task, such as a posted
// function or an Event, makes it return early, for the loop to end in good order; Goexit has another coroutine do that.
func (l *Loop) turns(co *coroutine) {
	returned := false
	defer func() {
		switch v := recover(); {
		case v != nil:
			l.running = nil
			l.fail(newPanicError(v))
		case !returned && l.carrier == co: // Goexit; see unwind
			l.running = nil
			l.fail(errLoopGoexit)
			l.leaveCoroutine(co)
		}
	}()
	for {
		l.stats.Turns++
		l.complete()
		if cause := l.quit.Load(); cause != nil {
			l.quits = l.err == nil || !l.stopping
			if !l.stopping && *cause != ErrCanceled {
				l.cut = &endError{*cause}
			}
			l.fail(*cause)
			l.quit.Store(nil)
		}
		l.posts.run(l.debug)
		for n := l.ready.n; n > 0; n-- { // those that become ready meanwhile come after the next Poll
			l.resume(l.ready.pop())
		}
		if l.calls.n > 0 {
			if l.callHandlers(co); l.carrier != co {
				returned = true
				return
			}
		}
		l.flushDirty()
		if l.group != nil {
			l.publish()
		}
		if l.over = !l.more(); l.over {
			returned = true
			return
		}
		l.poll()
	}
}

// more tells whether there is a reason to turn once more. When there is no task any more, what they left open is closed.
func (l *Loop) more() bool {
	switch {
	case l.broken:
		return l.ready.n > 0 || !l.posts.closeOff()
	case !l.closing && (l.live > 0 || !l.stopping && l.posts.pending()):
		return true
	case !l.closing && !l.stopping && l.lazies > 0 && l.draining.Load():
		return true // connections with handlers, which are no tasks
	case !l.closing && !l.stopping && l.shared.await():
		return true
	case !l.closing && !l.stopping && l.group.goesOn(l):
		return true
	case !l.closing:
		l.closing, l.stopping = true, true
		if l.debug != nil {
			l.debug.leavesOpen()
		}
		l.closeAll()
	}
	return l.live > 0 || l.open > 0 || !l.posts.closeOff()
}

// poll waits for completions unless something is ready.
func (l *Loop) poll() {
	if l.broken {
		return
	}
	until := l.pool.due
	if when, ok := l.timers.Next(); ok {
		until = min(until, when)
	}
	if l.input.unread.list.n > 0 {
		until = min(until, l.keepUnread())
	}
	if l.pipes.wanted > 0 {
		until = min(until, l.movePipes())
	}
	if l.ready.n > 0 || l.calls.n > 0 {
		until = 0
	}
	if until > 0 && l.deadlocked() {
		l.fail(errors.Join(l.err, l.newDeadlockError())) // what a task has ended with may be why
		return
	}
	l.debug.rests(true)
	n, found, err := l.spin(until)
	if !found {
		if until > 0 && !l.posts.sleep() {
			until = 0
		}
		n, err = l.backend.Poll(l.completions, until)
		l.posts.awake()
	}
	l.debug.rests(false)
	l.rise()
	l.taken, l.polled = 0, n
	if err != nil {
		l.broke(fmt.Errorf("reactor: %w", err))
	}
	l.trimIdle(n)
}

// spin polls without blocking, for as long as WithBusyPoll allows, until it has found something to do.
func (l *Loop) spin(until time.Duration) (n int, found bool, err error) {
	if l.opt.busyPoll <= 0 || until == 0 {
		return 0, false, nil
	}
	for end := l.after(l.opt.busyPoll); ; {
		n, err = l.backend.Poll(l.completions, 0)
		now := l.backend.Now()
		if n > 0 || err != nil || l.wanted() || now >= until {
			return n, true, err
		}
		if now >= end {
			return 0, false, nil
		}
	}
}

// wanted tells whether another goroutine wants the loop to do something. Each Poll may have taken the Wake for it.
func (l *Loop) wanted() bool {
	return l.posts.pending() || l.quit.Load() != nil || l.rests && l.group.over.Load()
}

// complete hands out the completions that Poll has returned, and then expires timers. A result that was there in time
// beats its deadline, however late the loop is and however many results there are: so all of them are collected before.
func (l *Loop) complete() {
	l.handOut()
	when, ok := l.timers.Next()
	if !ok {
		return
	}
	now := l.backend.Now()
	if when > now {
		return
	}
	if l.collect(when); l.broken {
		return
	}
	l.passed = now
	for t := l.timers.Expire(now); t != nil; t = l.timers.Expire(now) {
		t.Value.expire(l)
	}
}

// collect hands out all results that are there; until has passed. It makes so many Polls at most that each operation has
// its turn: some may go on reporting for as long as they are asked.
func (l *Loop) collect(until time.Duration) {
	for polls := l.flight/len(l.completions) + 2; polls > 0 && l.flight > 0 && !l.broken; polls-- {
		var err error
		l.taken = 0
		if l.polled, err = l.backend.Poll(l.completions, until); err != nil {
			l.broke(fmt.Errorf("reactor: %w", err))
			return
		}
		l.handOut()
		if l.polled < len(l.completions) {
			return
		}
	}
}

// handOut gives the completions of the last Poll to their sinks.
func (l *Loop) handOut() {
	for l.taken < l.polled {
		c := &l.completions[l.taken]
		l.taken++
		if !c.More {
			l.flight--
		}
		c.Sink.Complete(c)
	}
}

// fail makes Run return err, unless there is another reason already, and ends the tasks.
func (l *Loop) fail(err error) {
	var p *PanicError
	switch {
	case err == nil: // it ends for no error
	case l.err == nil || !l.stopping:
		l.err = err
	case errors.As(err, &p) && !errors.As(l.err, &p): // whatever ends the loop, the first panic is told
		l.err, l.quits = errors.Join(l.err, err), false
	}
	l.stopping = true
	if l.debug != nil {
		l.debug.isToEnd()
	}
	for t := range l.tasks.all() {
		if t.enlisted {
			t.cancelWith(l.why())
		}
	}
	for _, ln := range l.listeners {
		ln.close()
	}
	l.shared.end()
}

// why is the reason for which the tasks' waits end when the loop is to.
func (l *Loop) why() error {
	if l.cut != nil {
		return l.cut
	}
	return ErrCanceled
}

// broke ends the tasks where they stand, for no completion will come any more.
func (l *Loop) broke(err error) {
	l.broken, l.abandon = true, true
	l.fail(err)
	for l.live > 0 {
		for t := range l.tasks.all() {
			if t.enlisted {
				l.wake(t)
			}
		}
		for l.ready.n > 0 {
			l.resume(l.ready.pop())
		}
	}
}

func (l *Loop) submit(op backend.Op) backend.Token {
	l.scratch = op
	l.flight++
	return l.backend.Submit(&l.scratch)
}

// after is the time in d from now; the end of time where it would be beyond that.
func (l *Loop) after(d time.Duration) time.Duration {
	now := l.backend.Now()
	return now + min(d, backend.Forever-now)
}

// left is how long it takes until t expires; 0 where it is not set.
func (l *Loop) left(t *timers.Timer[expirer]) time.Duration {
	if !t.Active() {
		return 0
	}
	return max(1, t.When()-l.backend.Now())
}

// setTimer sets t to expire at when. The order of timers of equal time is that of their setting. One that is due already
// expires after the next Poll, so that a timer that is always due starves nobody.
func (l *Loop) setTimer(t *timers.Timer[expirer], owner expirer, when time.Duration) {
	t.Value = owner
	l.timers.Set(t, max(when, l.passed+1))
}
