package reactor

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eyewall/eyewall/event"
)

// Run ends when the last task has, and not before.
func TestRunUntilNoTaskIsLeft(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		ended := 0
		var grow func(depth int) func(Task) error
		grow = func(depth int) func(Task) error {
			return func(task Task) error {
				defer func() { ended++ }()
				if depth > 0 {
					task.Go(grow(depth - 1))
					task.Go(grow(depth - 1))
				}
				return task.Sleep(time.Duration(depth) * 100 * time.Microsecond)
			}
		}
		for range 3 {
			must(t, "Go", l.Go(grow(4)))
		}
		must(t, "Run", runUntil(t, l, context.Background()))
		if ended != 3*31 {
			t.Errorf("%d tasks have ended, want %d", ended, 3*31)
		}
	})
}

func TestRunWithoutTasks(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		must(t, "Run", runUntil(t, testLoop(t, name), context.Background()))
	})
}

// Without WithErrors, Run returns the first error of a task; the others go on.
func TestRunReturnsFirstError(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		first, second := errors.New("first"), errors.New("second")
		over := 0
		for _, err := range []error{io.EOF, nil, first, second} {
			must(t, "Go", l.Go(func(task Task) error {
				defer task.Go(func(task Task) error { over++; return task.Sleep(time.Millisecond) })
				return err
			}))
		}
		if err := runUntil(t, l, context.Background()); err != first {
			t.Errorf("Run: %v, want %v", err, first)
		}
		if over != 4 {
			t.Errorf("%d tasks ran on, want 4", over)
		}
	})
}

// With it, each error goes there, and io.EOF nowhere.
func TestWithErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var seen []error
		l := testLoop(t, name, WithErrors(func(err error) { seen = append(seen, err) }))
		first, second := errors.New("first"), errors.New("second")
		for _, err := range []error{io.EOF, first, nil, second} {
			must(t, "Go", l.Go(func(task Task) error { return err }))
		}
		must(t, "Run", runUntil(t, l, context.Background()))
		if !slices.Equal(seen, []error{first, second}) {
			t.Errorf("WithErrors saw %v", seen)
		}
	})
}

// When the context ends every kind of wait does, with ErrCanceled; defers run; Run returns the cause.
func TestContextEndsRun(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		var reported []error
		l := testLoop(t, name, WithErrors(func(err error) { reported = append(reported, err) }))
		started, deferred := 0, 0
		var waits []func(Task) error
		// What begin returns waits.
		waiting := func(what string, begin func(Task) func() error) {
			waits = append(waits, func(task Task) error {
				defer func() { deferred++ }()
				wait := begin(task)
				started++
				err := wait()
				wantErr(t, what, err, ErrCanceled)
				wantErr(t, what+", again", task.Sleep(time.Hour), ErrCanceled)
				return err
			})
		}
		waiting("Sleep", func(task Task) func() error {
			return func() error { return task.Sleep(time.Hour) }
		})
		waiting("Yield", func(task Task) func() error {
			return func() error {
				for {
					if err := task.Yield(); err != nil {
						return err
					}
				}
			}
		})
		waiting("Await", func(task Task) func() error {
			r, w := newPipe(t)
			return func() error {
				defer closeFDs(task, r, w)
				return task.Await(&event.ReadInto{FD: r, Buf: make([]byte, 1)})
			}
		})
		waiting("Hold", func(task Task) func() error {
			return func() error {
				return task.Await(&testEvent{register: func(r event.Reactor) error { r.Hold(); return nil }})
			}
		})
		waiting("Accept", func(task Task) func() error {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			return func() error { _, err := ln.Accept(); return err }
		})
		waiting("Next", func(task Task) func() error {
			a, _ := pair(t, task)
			return func() error { _, err := a.Next(); return err }
		})
		waiting("Read", func(task Task) func() error {
			a, _ := pair(t, task)
			return func() error { _, err := a.Read(make([]byte, 1)); return err }
		})
		waiting("Write", func(task Task) func() error {
			a, _ := peered(t, task, full, "127.0.0.1:0")
			return func() error { _, err := a.Write(make([]byte, 8<<20)); return err }
		})
		waiting("Flush", func(task Task) func() error {
			a, _ := peered(t, task, full, "127.0.0.1:0")
			return func() error {
				for {
					a.Write(make([]byte, 8000))
					if err := a.Flush(); err != nil {
						return err
					}
				}
			}
		})
		for _, w := range waits {
			must(t, "Go", l.Go(w))
		}
		must(t, "Go", l.Go(func(task Task) error {
			when(t, task, "all have started", func() bool { return started == len(waits) })
			must(t, "Sleep", task.Sleep(5*time.Millisecond))
			cancel(cause)
			return nil
		}))
		l.opt.linger = 10 * time.Millisecond // some peers never read
		if err := runUntil(t, l, ctx); err != cause {
			t.Errorf("Run: %v, want the context's cause", err)
		}
		if deferred != len(waits) {
			t.Errorf("%d of %d tasks ran their defers", deferred, len(waits))
		}
		for _, err := range reported {
			if !errors.As(err, new(*UnsentError)) { // since some peers never read
				t.Errorf("WithErrors was told of the end: %v", err)
			}
		}
	})
}

// closeFDs closes descriptors that were in events, as event.Close asks, though the task be canceled.
func closeFDs(task Task, fds ...int) {
	for _, fd := range fds {
		task.Loop().discard(fd)
	}
}

// A context that has ended before ends Run as well.
func TestContextEndedBefore(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		cause := errors.New("before")
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		l := testLoop(t, name)
		var err error
		must(t, "Go", l.Go(func(task Task) error { err = task.Sleep(time.Hour); return err }))
		if err := runUntil(t, l, ctx); err != cause {
			t.Errorf("Run: %v, want the context's cause", err)
		}
		wantErr(t, "Sleep", err, ErrCanceled)
	})
}

// A context ends the loop also while no function can be posted to it.
func TestContextEndsWithPostsFull(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		l := testLoop(t, name)
		must(t, "Go", l.Go(func(task Task) error {
			for l.Post(func() {}) != ErrPostFull {
			}
			cancel()
			time.Sleep(2 * time.Millisecond) // the loop is held up, so that it learns of it now
			return task.Sleep(time.Hour)
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
	})
}

// Loops of one process know nothing of each other but what they post.
func TestTwoLoops(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const rounds = 100
		loops := [2]*Loop{testLoop(t, name), testLoop(t, name)}
		got := [2]int{}
		var bounce func(to, n int)
		bounce = func(to, n int) {
			got[to]++ // each of them is touched by its own loop only
			if n < rounds {
				must(t, "Post", loops[1-to].Post(func() { bounce(1-to, n+1) }))
			}
		}
		var wg sync.WaitGroup
		for i, l := range loops {
			must(t, "Go", l.Go(func(task Task) error {
				if i == 0 {
					must(t, "Post", loops[1].Post(func() { bounce(1, 1) }))
				}
				when(t, task, "the ball has been here often", func() bool { return got[i] == rounds/2 })
				return nil
			}))
			wg.Go(func() {
				if err := runUntil(t, l, context.Background()); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		}
		wg.Wait()
		if got != [2]int{rounds / 2, rounds / 2} {
			t.Errorf("the ball was at the loops %v times", got)
		}
	})
}

func TestRunTwice(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		err := runLoop(t, l, func(Task) error {
			wantErr(t, "Run while it runs", l.Run(context.Background()), ErrLoopRunning)
			must(t, "Close while it runs", l.Close())
			return nil
		})
		must(t, "Run", err)
		wantErr(t, "Run after it ran", l.Run(context.Background()), ErrLoopEnded)
		wantErr(t, "Go after it ran", l.Go(func(Task) error { return nil }), ErrLoopEnded)
		wantErr(t, "Post after it ran", l.Post(func() { t.Error("called though refused") }), ErrLoopEnded)
		must(t, "Close after it ran", l.Close())
	})
}

func TestCloseBeforeRun(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		must(t, "Go", l.Go(func(Task) error { t.Error("it ran, though closed"); return nil }))
		must(t, "Close", l.Close())
		must(t, "Close, again", l.Close())
		wantErr(t, "Run", l.Run(context.Background()), ErrLoopEnded)
		wantErr(t, "Post", l.Post(func() {}), ErrLoopEnded)
	})
}

// A loop that is dropped without Run or Close leaves nothing either, once the garbage collector has seen that.
func TestDroppedLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		s := spyOn(l)
		must(t, "Go", l.Go(func(task Task) error { return task.Sleep(time.Second) }))
		l = nil
		for range 100 {
			runtime.GC()
			closed := false
			if s.counts(func() { closed = s.closed }); closed {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Error("its backend was never closed")
	})
}

func TestRunWithoutContext(t *testing.T) {
	l := testLoop(t, "select")
	defer l.Close()
	var ctx context.Context
	const want = "reactor: Run: the context is nil; context.Background() is one that never ends"
	if err := l.Run(ctx); err == nil || err.Error() != want {
		t.Errorf("Run: %v", err)
	}
}

// What tasks leave open is closed, and what they wrote to it is sent before.
func TestRunClosesWhatIsOpen(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		want := pattern(100_000)
		var got []byte
		done := make(chan struct{})
		run(t, name, func(task Task) {
			_, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			go func() {
				defer close(done)
				time.Sleep(5 * time.Millisecond)
				got, err = io.ReadAll(peer)
				if err != nil {
					t.Errorf("the peer: %v", err)
				}
			}()
			for p := want; len(p) > 0; p = p[1000:] {
				if _, err := c.Write(p[:1000]); err != nil {
					t.Errorf("Write: %v", err)
				}
			}
		})
		<-done
		same(t, "what was written", got, want)
	})
}

// When the backend breaks, tasks end where they stand, with their defers, and everything is closed.
func TestBackendBreaks(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		broken := errors.New("broken")
		l := testLoop(t, name)
		deferred, posted := 0, 0
		waiting := 0
		waits := []func(Task){
			func(task Task) {
				waiting++
				task.Sleep(time.Hour)
			},
			func(task Task) {
				a, _ := pair(t, task)
				waiting++
				a.Next()
			},
			func(task Task) {
				ln, _ := Listen(task, "tcp", "127.0.0.1:0")
				defer ln.Close()
				waiting++
				ln.Accept()
			},
			func(task Task) {
				a, _ := pair(t, task)
				defer a.Close()
				a.Write([]byte("x"))
				defer func() { recover() }()
				defer task.Go(func(task Task) error { posted++; return task.Sleep(time.Hour) })
				waiting++
				for {
					a.Next()
				}
			},
		}
		const posts = 1000
		err := runLoop(t, l, func(task Task) error {
			for _, wait := range waits {
				task.Go(func(task Task) error {
					defer func() { deferred++ }()
					wait(task)
					t.Error("a wait has ended though the backend is broken")
					return nil
				})
			}
			when(t, task, "all wait", func() bool { return waiting == len(waits) })
			for range posts {
				must(t, "Post", l.Post(func() { posted++ }))
			}
			s := spyOn(l)
			s.counts(func() { s.pollErr = broken })
			return nil
		})
		wantErr(t, "Run", err, broken)
		if deferred != len(waits) {
			t.Errorf("%d of %d tasks ran their defers", deferred, len(waits))
		}
		if posted != posts+1 {
			t.Errorf("%d of %d posted functions and tasks were called", posted, posts+1)
		}
	})
}

// A backend that does not start is an error, and closed.
func TestBackendDoesNotStart(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		broken := errors.New("broken")
		spyOn(l).startErr = broken
		must(t, "Go", l.Go(func(Task) error { t.Error("it ran, though nothing could"); return nil }))
		wantErr(t, "Run", runUntil(t, l, context.Background()), broken)
	})
}

// No function is no task: whoever asks for one is told.
func TestGoOfNil(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		wantPanicking(t, "Loop.Go", func() { l.Go(nil) })
		must(t, "Run", runLoop(t, l, func(task Task) error {
			wantPanicking(t, "Task.Go", func() { task.Go(nil) })
			return nil
		}))
	})
}
