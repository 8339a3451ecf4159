package reactor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
)

// panicking is the function that a stack must name.
//
//go:noinline
func panicking(v any) { panic(v) }

// wantPanic checks that err tells of a panic in panicking, and of its value.
func wantPanic(t *testing.T, err error, value any) {
	t.Helper()
	var p *PanicError
	if !errors.As(err, &p) {
		t.Errorf("got error %v, want a *PanicError", err)
		return
	}
	if p.Value != value {
		t.Errorf("the panic's value is %v, want %v", p.Value, value)
	}
	if !bytes.Contains(p.Stack, []byte(".panicking(")) {
		t.Errorf("the stack does not show who panicked:\n%s", p.Stack)
	}
	for _, want := range []string{"panic: " + fmt.Sprint(value), ".panicking("} {
		if !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("the error's text does not have %q", want)
		}
	}
}

// Wherever a panic happens on a loop, Run returns it, and the other tasks unwind first.
func TestPanicEndsRun(t *testing.T) {
	value := errors.New("the value")
	places := map[string]func(Task) error{
		"task": func(Task) error { panicking(value); return nil },
		"task that has waited": func(task Task) error {
			must(t, "Sleep", task.Sleep(time.Microsecond))
			panicking(value)
			return nil
		},
		"defer": func(task Task) error {
			defer panicking(value)
			return task.Yield()
		},
		"child": func(task Task) error {
			task.Go(func(Task) error { panicking(value); return nil })
			return task.Sleep(time.Hour)
		},
		"post": func(task Task) error {
			must(t, "Post", task.Loop().Post(func() { panicking(value) }))
			return task.Sleep(time.Hour)
		},
		"Register": func(task Task) error {
			return task.Await(&testEvent{register: func(event.Reactor) error { panicking(value); return nil }})
		},
		"Register, with something in flight": func(task Task) error {
			r, w := newPipe(t)
			defer closeFDs(task, r, w)
			return task.Await(&testEvent{
				register: func(e event.Reactor) error {
					e.Submit(backend.Op{Kind: backend.Read, FD: r, Buf: make([]byte, 1)})
					e.Timer(e.Now() + time.Millisecond)
					panicking(value)
					return nil
				},
				resume: func(event.Reactor, *backend.Completion) (bool, error) { return true, nil },
			})
		},
		"Resume": func(task Task) error {
			r, w := newPipe(t)
			defer closeFDs(task, r, w)
			return task.Await(&testEvent{
				register: func(e event.Reactor) error {
					e.Submit(backend.Op{Kind: backend.Read, FD: r, Buf: make([]byte, 1)})
					e.Submit(backend.Op{Kind: backend.Write, FD: w, Buf: make([]byte, 1)})
					return nil
				},
				resume: func(event.Reactor, *backend.Completion) (bool, error) { panicking(value); return true, nil },
			})
		},
		"Resume of a timer": func(task Task) error {
			return task.Await(&testEvent{
				register: func(e event.Reactor) error { e.Timer(e.Now() + 1); return nil },
				resume:   func(event.Reactor, *backend.Completion) (bool, error) { panicking(value); return true, nil },
			})
		},
	}
	for place, body := range places {
		t.Run(place, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				unwound, posted := 0, false
				l := testLoop(t, name)
				err := runLoop(t, l, func(task Task) error {
					for range 3 {
						task.Go(func(task Task) error {
							defer func() { unwound++ }()
							err := task.Sleep(time.Hour)
							wantErr(t, "Sleep", err, ErrCanceled)
							return err
						})
					}
					must(t, "Yield", task.Yield())
					task.Go(body)
					must(t, "Post", task.Loop().Post(func() {
						must(t, "Post", task.Loop().Post(func() { posted = true }))
					}))
					return nil
				})
				wantPanic(t, err, value)
				if !errors.Is(err, value) {
					t.Error("errors.Is does not find the value, an error")
				}
				if unwound != 3 {
					t.Errorf("%d of 3 other tasks were unwound", unwound)
				}
				if !posted {
					t.Error("a function that was posted has not been called")
				}
			})
		})
	}
}

// A panic of what Loop.Post or WithErrors was given ends Run, too, whoever called it.
func TestPanicInHook(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name, WithErrors(func(err error) { panicking(err) }))
		trouble := errors.New("trouble")
		unwound := false
		err := runLoop(t, l, func(task Task) error {
			task.Go(func(task Task) error {
				defer func() { unwound = true }()
				return task.Sleep(time.Hour)
			})
			must(t, "Yield", task.Yield())
			return trouble
		})
		wantPanic(t, err, trouble)
		if !unwound {
			t.Error("the other task was not unwound")
		}
	})
}

// With WithPanicsContained a panic ends the task alone, and is an error for WithErrors. That of an event is its task's.
func TestPanicsContained(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var seen []error
		l := testLoop(t, name, WithPanicsContained(), WithErrors(func(err error) { seen = append(seen, err) }))
		went := false
		err := runLoop(t, l, func(task Task) error {
			task.Go(func(task Task) error { panicking(0); return nil })
			task.Go(func(task Task) error {
				return task.Await(&testEvent{register: func(event.Reactor) error { panicking(1); return nil }})
			})
			task.Go(func(task Task) error {
				return task.Await(&testEvent{
					register: func(r event.Reactor) error { r.Timer(r.Now() + 1); return nil },
					resume:   func(event.Reactor, *backend.Completion) (bool, error) { panicking(2); return false, nil },
				})
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			went = true
			return nil
		})
		must(t, "Run", err)
		if !went || len(seen) != 3 {
			t.Fatalf("WithErrors saw %d panics; the other task went on: %v", len(seen), went)
		}
		for i := range 3 {
			wantPanic(t, seen[i], i)
		}
	})
}

// Without WithErrors, Run returns a contained panic in the end, like any error.
func TestPanicContainedIsReturned(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name, WithPanicsContained())
		went := false
		err := runLoop(t, l, func(task Task) error {
			task.Go(func(task Task) error {
				defer func() { went = true }()
				return task.Sleep(time.Millisecond)
			})
			panicking("contained")
			return nil
		})
		wantPanic(t, err, "contained")
		if !went {
			t.Error("the other task did not go on")
		}
	})
}

// A task that recovers has not panicked; nor can recover keep a task that is being ended.
func TestRecover(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for i := range 100 {
				func() {
					defer func() {
						if v := recover(); v != i {
							t.Errorf("recovered %v", v)
						}
						must(t, "Yield", task.Yield()) // in a defer of a panic
					}()
					must(t, "Yield", task.Yield())
					panicking(i)
				}()
			}
		})
	})
}

// A panic with nil, or with what is no error, is told as it is.
func TestPanicValues(t *testing.T) {
	leavesNothing(t)
	for _, value := range []any{"text", 42, fmt.Errorf("%w, wrapped", ErrDeadline)} {
		err := runLoop(t, testLoop(t, "select"), func(Task) error { panicking(value); return nil })
		wantPanic(t, err, value)
	}
	err := runLoop(t, testLoop(t, "select"), func(Task) error { panicking(nil); return nil })
	var p *PanicError
	if !errors.As(err, &p) || p.Value == nil {
		t.Errorf("panic(nil): %v", err)
	}
	err = runLoop(t, testLoop(t, "select"), func(Task) error { n := 0; return errors.New([]string{}[n]) })
	if !errors.As(err, &p) || p.Unwrap() == nil {
		t.Errorf("a runtime error: %v", err)
	}
}

// When tasks panic one after the other, the first one is what Run returns.
func TestPanicsWhileUnwinding(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		err := runLoop(t, l, func(task Task) error {
			for range 3 {
				task.Go(func(task Task) error {
					defer panicking("second")
					return task.Sleep(time.Hour)
				})
			}
			must(t, "Yield", task.Yield())
			panicking("first")
			return nil
		})
		wantPanic(t, err, "first")
	})
}

// A panic while the context's end is unwinding the tasks is not lost.
func TestPanicAtTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		l := testLoop(t, name)
		must(t, "Go", l.Go(func(task Task) error {
			defer panicking("at the end")
			cancel()
			return task.Sleep(time.Hour)
		}))
		err := runUntil(t, l, ctx)
		wantPanic(t, err, "at the end")
		wantErr(t, "Run", err, context.Canceled)
	})
}
