package reactor

import (
	"fmt"
	"reflect"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/timers"
)

// Await yields ev: it waits until ev is over and returns ev's error. When the task is canceled meanwhile, what ev
// waits for is canceled, and the error is ErrCanceled unless a real result came first; so it is from the start where the
// task was canceled before, but for an event.Close, which a canceled task may wait for. An event that is nil, or that
// waits for nothing, is an error. If ev's error is a bare errno, Await's wraps it, and names the operation and its
// descriptor, or ev's type if it has several.
func (t Task) Await(ev event.Event) error {
	s, err := t.current()
	if err != nil {
		return err
	}
	if err := checkEvent(ev); err != nil {
		return err
	}
	reset(ev)
	kind := kindOf(ev)
	if kind != waitsForClose { // which takes no time, and would leave a descriptor
		if err := s.refused(); err != nil {
			return err
		}
	}
	if s.loop.debug != nil {
		s.loop.debug.awaits(s, ev)
	}
	w := s.loop.newWaiter(s, ev)
	defer w.leave()
	s.waits = kind
	if err := ev.Register(w); err != nil {
		w.end(err)
	}
	for {
		w.settle()
		if w.over && w.flight == 0 && !s.queued {
			if w.panicked != nil {
				panic(w.panicked)
			}
			return w.err
		}
		s.park()
		if s.canceled {
			w.interrupt()
		}
	}
}

// kindOf tells of an event what a Dump says.
func kindOf(ev event.Event) waitKind {
	switch ev.(type) {
	case *event.Sleep:
		return waitsForSleep
	case *event.Accept:
		return waitsForAccept
	case *event.Read:
		return waitsForRecv
	case *event.ReadInto:
		return waitsForRead
	case *event.Write:
		return waitsForWrite
	case *event.Writev:
		return waitsForSend
	case *event.SendFile:
		return waitsForSendFile
	case *event.Connect, *race:
		return waitsForConnect
	case *event.Poll:
		return waitsForPoll
	case *event.Close:
		return waitsForClose
	case *event.Signal:
		return waitsForSignal
	}
	return waitsForEvent
}

// checkEvent checks that there is an event.
func checkEvent(ev event.Event) error {
	if v := reflect.ValueOf(ev); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("reactor: Await was given a nil event (%T); it needs one to wait for", ev)
	}
	return nil
}

// reset clears the results that ev has from an earlier wait.
func reset(ev event.Event) {
	if e, ok := ev.(event.Resetter); ok {
		e.Reset()
	}
}

// current checks that the task is the one that runs, and so the one that can wait.
func (t Task) current() (*task, error) {
	switch {
	case t.t == nil:
		return nil, errZeroTask
	case t.t.loop.elsewhere():
		return nil, ErrWrongGoroutine
	case t.ended():
		return nil, errTaskEnded
	}
	s, err := t.t.loop.entered()
	if err == nil && s != t.t {
		return nil, errOtherTask
	}
	return s, err
}

// Why a task cannot wait.
var (
	errZeroTask  = fmt.Errorf("reactor: the zero Task cannot wait: %w", ErrNotTask)
	errTaskEnded = fmt.Errorf("reactor: a task that has ended cannot wait: %w", ErrNotTask)
	errOtherTask = fmt.Errorf("reactor: a task was asked to wait by another one: %w", ErrNotTask)
)

// waiter is a task's wait for an event: the event's Reactor, and the sink of its operations.
type waiter struct {
	loop     *Loop
	task     *task
	event    event.Event
	tokens   [4]backend.Token // of operations in flight; zero where there is none
	more     []backend.Token  // those beyond
	flight   int              // how many are in flight
	over     bool             // err is what Await returns
	cut      bool             // what was in flight has been canceled
	held     bool             // Ready will come from elsewhere
	kind     backend.Kind     // of its operations; 0 if it has submitted none, severalKinds if they differ
	fd       int32            // the same of the descriptor
	err      error
	panicked *PanicError // by Resume
	timer    timers.Timer[expirer]
	next     *waiter // in the loop's list of spare ones
}

func (l *Loop) newWaiter(t *task, ev event.Event) *waiter {
	w := l.waiters
	if w == nil {
		w = &waiter{loop: l}
	} else {
		l.waiters, w.next = w.next, nil
	}
	w.task, w.event = t, ev
	return w
}

// leave ends the wait. Where a panic or Goexit cut it short, completions may still come for it, and Ready may still
// be called for one that was held: that one is not used again.
func (w *waiter) leave() {
	w.loop.timers.Stop(&w.timer)
	w.task.waits = waitsForOther
	if w.held {
		w.loop.outside--
		if e, ok := w.event.(event.Leaver); ok {
			defer e.Leave()
		}
	}
	if w.flight > 0 || w.held {
		w.over, w.task = true, nil
		if w.flight > 0 { // what Resume does may wake others
			w.loop.outside++
		}
		w.cutShort()
		return
	}
	*w = waiter{loop: w.loop, more: w.more[:0], timer: w.timer, next: w.loop.waiters}
	w.loop.waiters = w
}

// settle looks whether the wait is over, or cannot ever be.
func (w *waiter) settle() {
	if !w.over && w.flight == 0 && !w.timer.Active() && !w.held {
		w.end(fmt.Errorf("reactor: the event %T waits for nothing: neither an operation, nor the timer, nor Ready or Hold", w.event))
	}
	if w.over {
		w.cutShort()
	}
}

// interrupt is the task's cancellation.
func (w *waiter) interrupt() {
	if w.over {
		return
	}
	if w.flight == 0 {
		w.end(w.task.cause())
	} else {
		w.cutShort()
	}
}

// severalKinds stands for operations of different kinds, or on different descriptors.
const severalKinds = ^backend.Kind(0)

// notes keeps the kind and descriptor of an operation, for errors to name.
func (w *waiter) notes(op *backend.Op) {
	if kind, fd := op.Kind, int32(op.FD); w.kind == 0 {
		w.kind, w.fd = kind, fd
	} else if w.kind != kind || w.fd != fd {
		w.kind = severalKinds
	}
}

// named adds the operation and its descriptor to an error of the system.
func (w *waiter) named(err error) error {
	errno, bare := err.(unix.Errno)
	switch {
	case !bare:
		return err
	case w.kind == 0 || w.kind == severalKinds:
		return fmt.Errorf("%T: %w", w.event, errno)
	}
	return fmt.Errorf("%v on descriptor %d: %w", w.kind, w.fd, errno)
}

func (w *waiter) end(err error) {
	if !w.over {
		w.over, w.err = true, err
	}
}

// cutShort cancels what is in flight, once, and the timer.
func (w *waiter) cutShort() {
	w.loop.timers.Stop(&w.timer)
	if w.flight == 0 || w.cut {
		return
	}
	w.cut = true
	for _, t := range w.tokens {
		w.cancel(t)
	}
	for _, t := range w.more {
		w.cancel(t)
	}
}

// Complete implements backend.Sink.
func (w *waiter) Complete(c *backend.Completion) {
	if !c.More {
		w.landed(c.Token)
	}
	w.resume(c)
}

func (w *waiter) expire(l *Loop) {
	l.expired = backend.Completion{Err: ErrDeadline}
	w.resume(&l.expired)
}

func (w *waiter) resume(c *backend.Completion) {
	over, err := w.ask(c)
	if over && err == ErrCanceled && w.cut && w.task != nil && w.task.canceled {
		err = w.task.cause()
	}
	if over {
		w.end(w.named(err))
	}
	if w.task == nil {
		return
	}
	if !w.over && w.cut && w.flight == 0 {
		w.end(w.task.cause()) // a canceled event that would wait for more
	}
	w.settle()
	if w.over && w.flight == 0 {
		w.loop.wake(w.task)
	}
}

// ask calls Resume. A panic there becomes one of the task that waits.
func (w *waiter) ask(c *backend.Completion) (over bool, err error) {
	returned := false
	defer func() {
		v := recover()
		switch {
		case returned:
			return
		case v != nil && w.task == nil:
			w.loop.fail(newPanicError(v))
		case v != nil:
			over, w.panicked = true, newPanicError(v)
		case w.task != nil: // Goexit, which ends the loop
			w.end(ErrCanceled)
			w.loop.wake(w.task)
		}
	}()
	over, err = w.event.Resume(w, c)
	returned = true
	return over, err
}

// Submit implements event.Reactor.
func (w *waiter) Submit(op backend.Op) backend.Token {
	w.loop.mustBeHere()
	if (w.over || w.cut) && op.Kind != backend.Close { // too late to wait for; it could go on for ever
		return 0
	}
	op.Sink = w
	w.notes(&op)
	t := w.loop.submit(op)
	if w.flight++; w.flight == 1 && w.task == nil {
		w.loop.outside++
	}
	for i := range w.tokens {
		if w.tokens[i] == 0 {
			w.tokens[i] = t
			return t
		}
	}
	w.more = append(w.more, t)
	return t
}

// landed forgets an operation that is complete.
func (w *waiter) landed(t backend.Token) {
	if w.flight--; w.flight == 0 && w.task == nil {
		w.loop.outside--
	}
	for i := range w.tokens {
		if w.tokens[i] == t {
			w.tokens[i] = 0
			return
		}
	}
	for i := range w.more {
		if w.more[i] == t {
			last := len(w.more) - 1
			w.more[i] = w.more[last]
			w.more = w.more[:last]
			return
		}
	}
}

// Cancel implements event.Reactor.
func (w *waiter) Cancel(t backend.Token) {
	w.loop.mustBeHere()
	w.cancel(t)
}

func (w *waiter) cancel(t backend.Token) {
	if t != 0 {
		w.loop.backend.Cancel(t)
	}
}

// Timer implements event.Reactor.
func (w *waiter) Timer(at time.Duration) {
	w.loop.mustBeHere()
	w.loop.setTimer(&w.timer, w, at)
}

// Now implements event.Reactor.
func (w *waiter) Now() time.Duration { return w.loop.backend.Now() }

// Release implements event.Reactor.
func (w *waiter) Release(l backend.Lease) {
	w.loop.mustBeHere()
	w.loop.backend.Release(l)
}

// Ready implements event.Reactor.
func (w *waiter) Ready(err error) {
	w.loop.mustBeHere()
	if w.task == nil {
		return
	}
	w.end(err)
	w.cutShort()
	w.loop.wake(w.task)
}

// Hold implements event.Reactor.
func (w *waiter) Hold() {
	w.loop.mustBeHere()
	if !w.held && w.task != nil {
		w.held = true
		w.loop.outside++
	}
}

// Post implements event.Reactor.
func (w *waiter) Post(fn func()) error { return w.loop.mustPost(fn) }
