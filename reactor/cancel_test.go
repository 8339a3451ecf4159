package reactor

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// ignoring are ways to wait in an endless loop, whatever the waits return.
var ignoring = map[string]func(testing.TB, Task) func(){
	"Sleep": func(t testing.TB, task Task) func() { return func() { task.Sleep(time.Hour) } },
	"Yield": func(t testing.TB, task Task) func() { return func() { task.Yield() } },
	"Next": func(t testing.TB, task Task) func() {
		a, _ := pair(t, task)
		return func() { a.Next() }
	},
	"Write": func(t testing.TB, task Task) func() {
		a, _ := pairOf(t, task, ListenConfig{ReadBuffer: 1}, "127.0.0.1:0")
		block := make([]byte, 32<<10)
		return func() { a.Write(block) }
	},
	"small Write": func(t testing.TB, task Task) func() {
		a, _ := pairOf(t, task, ListenConfig{ReadBuffer: 1}, "127.0.0.1:0")
		block := make([]byte, 1<<10)
		return func() { a.Write(block) }
	},
	"Flush": func(t testing.TB, task Task) func() {
		a, _ := pairOf(t, task, ListenConfig{ReadBuffer: 1}, "127.0.0.1:0")
		block := make([]byte, 15<<10)
		return func() { a.Write(block); a.Flush() }
	},
	"Accept": func(t testing.TB, task Task) func() {
		ln, err := Listen(task, "tcp", "127.0.0.1:0")
		must(t, "Listen", err)
		return func() { ln.Accept() }
	},
	"Listen": func(t testing.TB, task Task) func() {
		return func() {
			if ln, err := Listen(task, "tcp", "127.0.0.1:0"); err == nil {
				ln.Close()
			}
			task.Sleep(time.Hour)
		}
	},
	"Dial": func(t testing.TB, task Task) func() {
		ln, err := Listen(task, "tcp", "127.0.0.1:0")
		must(t, "Listen", err)
		return func() {
			if c, err := Dial(task, "tcp", ln.Addr().String()); err == nil {
				c.Close()
			}
		}
	},
	"Close": func(t testing.TB, task Task) func() {
		a, _ := pair(t, task)
		return func() { a.Close(); task.Sleep(time.Hour) }
	},
}

// A task that ignores its cancellation, and goes on waiting, is ended for Run to end; its defers run.
func TestTaskThatIgnoresTheEnd(t *testing.T) {
	for way, wait := range ignoring {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				ctx, cancel := context.WithCancel(context.Background())
				l := testLoop(t, name, WithLinger(time.Millisecond))
				waits, deferred := 0, false
				must(t, "Go", l.Go(func(task Task) error {
					task.Go(func(task Task) error {
						defer func() { deferred = true }()
						defer func() { recover() }() // which holds nothing
						again := wait(t, task)
						for {
							waits++
							again()
						}
					})
					when(t, task, "it waits", func() bool { return waits > 0 })
					must(t, "Sleep", task.Sleep(5*time.Millisecond))
					cancel()
					return nil
				}))
				wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
				if !deferred {
					t.Error("its defers did not run")
				}
			})
		})
	}
}

// A canceled task that ignores it, on a loop that goes on, is let run, and holds up nobody.
func TestTaskThatIgnoresCancel(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			stop, refused := false, 0
			stubborn := task.Go(func(task Task) error {
				for !stop {
					wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled)
					refused++
				}
				return nil
			})
			stubborn.Cancel()
			for range 10 {
				must(t, "Sleep", task.Sleep(100*time.Microsecond))
			}
			when(t, task, "it was refused often", func() bool { return refused > 2*maxRefusals })
			stop = true
		})
	})
}

// While Run ends, tasks may start others, which are canceled from the start.
func TestTasksOfDefersAtTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		l := testLoop(t, name)
		started, canceled := 0, 0
		var farewell func(depth int) func(Task) error
		farewell = func(depth int) func(Task) error {
			return func(task Task) error {
				started++
				if depth > 0 {
					defer task.Go(farewell(depth - 1))
					defer func() { must(t, "Go", l.Go(farewell(depth-1))) }()
				}
				err := task.Sleep(time.Hour)
				if err == ErrCanceled {
					canceled++
				}
				return err
			}
		}
		must(t, "Go", l.Go(farewell(4)))
		must(t, "Go", l.Go(func(task Task) error {
			must(t, "Sleep", task.Sleep(time.Millisecond))
			cancel()
			return nil
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
		if started != 31 || canceled != 31 {
			t.Errorf("%d tasks have started and %d were canceled, want 31", started, canceled)
		}
	})
}

// Of many tasks that are canceled at once each ends, once.
func TestCancelMany(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			const tasks = 300
			ended := 0
			var list []Task
			a, b := pair(t, task)
			for i := range tasks {
				list = append(list, task.Go(func(task Task) error {
					var err error
					switch i % 3 {
					case 0:
						err = task.Sleep(time.Hour)
					case 1:
						_, err = a.Next()
					case 2:
						_, err = b.Read(make([]byte, 1))
					}
					wantErr(t, "the wait", err, ErrCanceled)
					ended++
					return nil
				}))
			}
			must(t, "Sleep", task.Sleep(time.Millisecond))
			for _, other := range list {
				other.Cancel()
			}
			when(t, task, "all have ended", func() bool { return ended == tasks })
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// A task that is canceled and says so has not failed.
func TestCanceledTaskIsNoError(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			canceled := task.Go(func(task Task) error { return fmt.Errorf("the wait: %w", task.Sleep(time.Hour)) })
			must(t, "Yield", task.Yield())
			canceled.Cancel()
		}, WithErrors(func(err error) { t.Errorf("WithErrors: %v", err) }))
	})
}

// But one that gives such an error without having been canceled has.
func TestErrorLikeCancellation(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		err := runLoop(t, l, func(Task) error { return fmt.Errorf("another context: %w", context.Canceled) })
		wantErr(t, "Run", err, context.Canceled)
	})
}
