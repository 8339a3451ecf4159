package reactor

import (
	"errors"
	"io"
	"log/slog"
)

// spawn makes a task that begins when the loop comes to it.
func (l *Loop) spawn(fn func(Task) error) *task {
	mustBeThere(fn)
	t := l.newTask()
	t.fn = fn
	return t
}

// mustBeThere panics where there is no function, for whoever has asked for a task to see.
func mustBeThere(fn func(Task) error) {
	if fn == nil {
		panic("reactor: Go was given a nil function")
	}
}

// spawnHandler makes a task that calls c's handler, without a closure for each connection.
func (l *Loop) spawnHandler(c *conn) {
	l.newTask().serve(c)
}

// newTask makes a task that is ready.
func (l *Loop) newTask() *task {
	t := l.allocTask()
	l.enlist(t)
	l.wake(t)
	if l.debug != nil {
		l.debug.enlists(t)
	}
	return t
}

func (l *Loop) allocTask() *task {
	t := l.spare
	if t == nil {
		t = l.tasks.get()
		t.loop, t.generation, t.turn.task = l, 1, t
		return t
	}
	l.spare, t.nextReady = t.nextReady, nil
	return t
}

// enlist makes t one of the tasks that the loop waits for.
func (l *Loop) enlist(t *task) {
	l.live++
	t.enlisted = true
	t.canceled = t.canceled || l.stopping
}

func (l *Loop) delist(t *task) {
	l.live--
	t.enlisted = false
}

// wake puts a task into the ready queue, if it is not there.
func (l *Loop) wake(t *task) {
	if !t.queued && !t.done {
		t.queued = true
		l.ready.push(t)
	}
}

// resume runs a task until it parks or ends.
func (l *Loop) resume(t *task) {
	t.queued = false
	if t.done { // it was woken by something just before it ended
		l.recycle(t)
		return
	}
	if t.co == nil {
		t.co = l.pool.get()
		t.co.task = t
	}
	l.running = t
	l.stats.Switches++
	if l.debug != nil {
		l.debug.resumes(t)
	}
	l.goroutine = t.co.goroutine
	t.co.next()
	l.running, l.goroutine = nil, l.carrier.goroutine
	if l.debug != nil {
		l.debug.returns(t)
	}
	if t.done {
		err := l.result
		l.result = nil
		if t.co != nil {
			t.co.task = nil
			l.put(t.co)
			t.co = nil
		} else {
			l.unwindExiting()
		}
		if t.enlisted {
			l.finish(t, err) // which calls WithErrors, and so may panic
		}
		if !t.queued {
			l.recycle(t)
		}
	}
}

// finish ends a task whose function has returned.
func (l *Loop) finish(t *task, err error) {
	t.generation++
	l.delist(t)
	cause := t.leaveAll()
	l.endLateOf(t)
	t.forget()
	if t.fn == nil {
		t.serves().release()
	}
	l.ended(t, err, cause)
}

// ended looks at the error that a task, or a call of a handler, has ended with; cause is why its waits had ended, if so.
func (l *Loop) ended(t *task, err, cause error) {
	if err == nil || err == io.EOF { // most; what comes then allocates
		return
	}
	var p *PanicError
	switch {
	case errors.Is(err, errGoexit):
	case errors.As(err, &p) && !l.opt.containPanics:
		l.fail(err)
	case endsFor(err, cause): // that is how it was meant to end
	case t.fn == nil:
		l.reportConn(err)
	default:
		l.report(err)
	}
}

// report gives an error to WithErrors, or keeps the first for Run to return.
func (l *Loop) report(err error) {
	if l.opt.errors != nil {
		l.opt.errors(err)
	} else if l.err == nil {
		l.err = err
	}
}

// reportConn gives the error of a connection to WithErrors, or else to slog at debug level: the end of a connection is
// nobody else's trouble.
func (l *Loop) reportConn(err error) {
	if l.opt.errors != nil {
		l.opt.errors(err)
	} else {
		slog.Debug("reactor: a connection has ended with an error", "err", err)
	}
}

// recycle keeps an ended task for later use. Its generation tells its old handles from new ones.
func (l *Loop) recycle(t *task) {
	t.turn.leave() // a Goexit may have ended the wait
	t.taskState = taskState{generation: t.generation, nextReady: l.spare, turn: queuer{task: t}}
	l.spare = t
}

// leave suspends t's coroutine, which is ending by Goexit, for the loop to unwind it.
func (l *Loop) leave(t *task) {
	co := t.co
	t.co = nil
	l.leaveCoroutine(co)
}

func (l *Loop) leaveCoroutine(co *coroutine) {
	co.task = nil
	if l.carrier == co {
		l.carrier = nil
	}
	l.exiting = co
	co.suspend()
}

// unwindExiting ends the coroutine that Goexit has left suspended, if there is one.
func (l *Loop) unwindExiting() {
	if co := l.exiting; co != nil {
		l.exiting = nil
		co.unwind()
	}
}
