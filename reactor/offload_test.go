package reactor

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Work runs beside the loop, no more at once than there may be, and its result comes back.
func TestOffload(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var now, most atomic.Int32
			others, did := 0, 0
			ticking := task.Go(func(task Task) error {
				for task.Sleep(100*time.Microsecond) == nil {
					others++
				}
				return nil
			})
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				for i := range 30 {
					g.Go(func(task Task) error {
						var result error
						if i%2 == 0 {
							result = errCause
						}
						err := Offload(task, func() error {
							if n := now.Add(1); n > most.Load() {
								most.Store(n)
							}
							time.Sleep(200 * time.Microsecond)
							now.Add(-1)
							return result
						})
						if err != result {
							t.Errorf("Offload: %v, want %v", err, result)
						}
						did++
						return nil
					})
				}
				return nil
			}))
			if n := most.Load(); did != 30 || n > 3 || n < 1 {
				t.Errorf("%d of 30 were done, %d at once", did, n)
			}
			if others == 0 {
				t.Error("the loop stood still")
			}
			ticking.Cancel()
			wantErr(t, "Offload by no task", Offload(Task{}, func() error { return nil }), ErrNotTask)
		}, WithOffload(3, 100))
	})
}

// Beyond the queue's limit it is refused; what is canceled before it began is dropped, and its place is free again.
func TestOffloadFull(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			block, began := make(chan bool), make(chan bool)
			ran := 0 // of one at a time, and the loop looks when all is over
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				g.Go(func(task Task) error { return Offload(task, func() error { close(began); <-block; return nil }) })
				_, _, err := Receive(task, began)
				must(t, "Receive", err)
				var queued []Task
				for range 2 {
					queued = append(queued, g.Go(func(task Task) error { return Offload(task, func() error { ran++; return nil }) }))
				}
				must(t, "Yield", task.Yield())
				must(t, "Yield", task.Yield())
				wantErr(t, "Offload", Offload(task, func() error { t.Error("it was taken"); return nil }), ErrOffloadFull)
				queued[0].Cancel()
				when(t, task, "it has left", queued[0].Done)
				last := g.Go(func(task Task) error { return Offload(task, func() error { ran++; return nil }) })
				must(t, "Yield", task.Yield())
				must(t, "Yield", task.Yield())
				if last.Done() {
					t.Error("there was no room")
				}
				close(block)
				return nil
			}))
			if ran != 2 {
				t.Errorf("%d of 2 ran", ran)
			}
		}, WithOffload(1, 2))
		if _, err := New(WithBackend(name), WithOffload(0, 1)); err == nil {
			t.Error("WithOffload(0, 1) is fine")
		}
	})
}

// A canceled task does not wait for the work's end, but Run does.
func TestOffloadCanceled(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		var ended atomic.Int32
		block := make(chan bool)
		must(t, "Run", runLoop(t, l, func(task Task) error {
			for how, scope := range endings {
				cause, err := scope(task, func() error {
					return Offload(task, func() error { <-block; ended.Add(1); return errFailed })
				})
				wantErr(t, how, err, cause)
			}
			time.AfterFunc(time.Millisecond, func() { close(block) })
			return nil
		}))
		if n := ended.Load(); n != 4 { // those of the scopes that had not ended before
			t.Errorf("%d of 4 had ended when Run returned", n)
		}
	})
}

// At the end of the loop, in order or not, it is the same.
func TestOffloadAtTheEnd(t *testing.T) {
	for _, broken := range []bool{false, true} {
		eachBackend(t, func(t *testing.T, name string) {
			ctx, cancel := context.WithCancelCause(context.Background())
			l := testLoop(t, name, WithOffload(2, 10))
			var ended atomic.Int32
			block := make(chan bool)
			left := 0
			must(t, "Go", l.Go(func(task Task) error {
				for range 5 {
					task.Go(func(task Task) error {
						defer func() {
							if left++; left == 5 { // and so what has not begun never will
								time.AfterFunc(time.Millisecond, func() { close(block) })
							}
						}()
						return Offload(task, func() error { <-block; ended.Add(1); return nil })
					})
				}
				must(t, "Sleep", task.Sleep(time.Millisecond))
				if broken {
					spyOn(l).counts(func() { spyOn(l).pollErr = errFailed })
				} else {
					cancel(errFailed)
				}
				return nil
			}))
			wantErr(t, "Run", runUntil(t, l, ctx), errFailed)
			if n := ended.Load(); n != 2 {
				t.Errorf("%d of 2 had ended when Run returned", n)
			}
		})
	}
}

// A panic of the work is the task's, with its stack; Goexit is an error, and loses no other work.
func TestOffloadPanics(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for range 3 {
				func() {
					defer func() { wantPanic(t, newPanicError(recover()), "off the loop") }()
					Offload(task, func() error { panicking("off the loop"); return nil })
				}()
				must(t, "Together", task.Together(func(g *TaskGroup) error {
					g.Go(func(task Task) error {
						wantErr(t, "Offload", Offload(task, func() error { runtime.Goexit(); return nil }), errOffloadGoexit)
						return nil
					})
					g.Go(func(task Task) error { return Offload(task, func() error { return nil }) })
					return nil
				}))
			}
		}, WithOffload(1, 10))
	})
}

// Where the task waits no more a panic ends the loop, or is reported, and is told also where the loop has ended.
func TestOffloadPanicsLate(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		late := func(task Task, block chan bool) {
			err := task.Timeout(time.Millisecond, func() error {
				return Offload(task, func() error { <-block; panicking("late"); return nil })
			})
			wantErr(t, "Offload", err, context.DeadlineExceeded)
		}
		block := make(chan bool)
		l := testLoop(t, name)
		wantPanic(t, runLoop(t, l, func(task Task) error {
			late(task, block)
			close(block)
			return task.Sleep(time.Hour)
		}), "late")

		var seen error
		block = make(chan bool)
		run(t, name, func(task Task) {
			late(task, block)
			close(block)
			when(t, task, "it is reported", func() bool { return seen != nil })
		}, WithPanicsContained(), WithErrors(func(err error) { seen = err }))
		wantPanic(t, seen, "late")

		block = make(chan bool)
		l = testLoop(t, name)
		err := runLoop(t, l, func(task Task) error {
			late(task, block)
			time.AfterFunc(2*time.Millisecond, func() { close(block) })
			return nil
		})
		var p *PanicError
		if !errors.As(err, &p) {
			t.Errorf("Run: %v", err)
		}
	})
}
