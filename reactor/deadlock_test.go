package reactor

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
)

// Where every task waits for another one, Run says so, and for what each does.
func TestDeadlock(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		unwound := 0
		err := runLoop(t, l, func(task Task) error {
			var a, b Mutex
			both := func(first, second *Mutex) func(Task) error {
				return func(task Task) error {
					defer func() { unwound++ }()
					must(t, "Lock", first.Lock(task))
					defer first.Unlock()
					must(t, "Sleep", task.Sleep(time.Millisecond))
					err := second.Lock(task)
					wantErr(t, "Lock", err, ErrCanceled)
					return err
				}
			}
			task.Go(both(&a, &b))
			task.Go(both(&b, &a))
			must(t, "Yield", task.Yield())
			return task.Together(func(g *TaskGroup) error {
				for _, wait := range []func(Task) error{
					func(task Task) error { return NewSemaphore(0).Acquire(task, 0) }, // does not wait
					func(task Task) error {
						s := NewSemaphore(1)
						s.TryAcquire(1)
						return s.Acquire(task, 1)
					},
					func(task Task) error { return new(Cond).Wait(task) },
					func(task Task) error { g := WaitGroup{n: 1}; return g.Wait(task) },
					func(task Task) error { _, err := new(Promise[int]).Wait(task); return err },
					func(task Task) error { _, err := new(Queue[int]).Get(task); return err },
					func(task Task) error {
						var q Queue[int]
						must(t, "Put", q.Put(task, 1))
						return q.Put(task, 2)
					},
				} {
					g.Go(wait)
				}
				return nil
			})
		})
		var deadlock *DeadlockError
		if !errors.As(err, &deadlock) {
			t.Fatalf("Run: %v", err)
		}
		var got []string
		numbers := map[int]bool{}
		for _, task := range deadlock.Tasks {
			got = append(got, task.For)
			numbers[task.Number] = true
			if !strings.Contains(err.Error(), task.For) {
				t.Errorf("the text has no %q:\n%v", task.For, err)
			}
		}
		slices.Sort(got)
		want := []string{"Cond.Wait", "Mutex.Lock", "Mutex.Lock", "Promise.Wait", "Queue.Get", "Queue.Put", "Semaphore.Acquire",
			"WaitGroup.Wait", "the children of its TaskGroup"}
		if !slices.Equal(got, want) || len(numbers) != len(want) {
			t.Errorf("they wait for %q, want %q", got, want)
		}
		if unwound != 2 {
			t.Errorf("%d of 2 were unwound", unwound)
		}
	})
}

// The text of many is short.
func TestDeadlockOfMany(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		var c Cond
		err := runLoop(t, l, func(task Task) error {
			for range 1000 {
				task.Go(c.Wait)
			}
			return nil
		})
		var deadlock *DeadlockError
		if !errors.As(err, &deadlock) || len(deadlock.Tasks) != 1000 || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "980 more") {
			t.Errorf("Run: %v", err)
		}
	})
}

// What may still come from outside, or from the kernel, is waited for.
func TestNoDeadlock(t *testing.T) {
	outside := map[string]func(t *testing.T, task Task) error{
		"Sleep": func(t *testing.T, task Task) error { return task.Sleep(3 * time.Millisecond) },
		"Promise": func(t *testing.T, task Task) error {
			p := NewPromise[int](task.Loop())
			time.AfterFunc(3*time.Millisecond, func() { must(t, "Post", p.Post(1, nil)) })
			_, err := p.Wait(task)
			return err
		},
		"Mailbox": func(t *testing.T, task Task) error {
			m := NewMailbox[int](task.Loop(), 1)
			time.AfterFunc(3*time.Millisecond, func() { must(t, "Send", m.Send(1)) })
			_, err := m.Receive(task)
			return err
		},
		"Receive": func(t *testing.T, task Task) error {
			ch := make(chan int)
			time.AfterFunc(3*time.Millisecond, func() { close(ch) })
			_, _, err := Receive(task, ch)
			return err
		},
		"Offload": func(t *testing.T, task Task) error {
			return Offload(task, func() error { time.Sleep(3 * time.Millisecond); return nil })
		},
		"With": func(t *testing.T, task Task) error {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(3*time.Millisecond, cancel)
			wantErr(t, "With", task.With(ctx, func() error { return new(Cond).Wait(task) }), context.Canceled)
			return nil
		},
		"Hold": func(t *testing.T, task Task) error {
			return task.Await(&testEvent{register: func(r event.Reactor) error {
				r.Hold()
				r.Hold()
				time.AfterFunc(3*time.Millisecond, func() { must(t, "Post", task.Loop().Post(func() { r.Ready(nil) })) })
				return nil
			}})
		},
		"connection": func(t *testing.T, task Task) error {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			time.AfterFunc(3*time.Millisecond, func() { peer.Write([]byte("x")) })
			_, err := c.Next()
			return errors.Join(err, c.Close())
		},
		"posted already": func(t *testing.T, task Task) error {
			var c Cond
			for range perTurn + 10 {
				must(t, "Post", task.Loop().Post(func() {}))
			}
			must(t, "Post", task.Loop().Post(func() { c.Signal() }))
			return c.Wait(task)
		},
	}
	for what, wait := range outside {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					var c Cond
					waiting := task.Go(c.Wait) // which nobody from outside can wake
					must(t, "the wait", wait(t, task))
					must(t, "Sleep", task.Sleep(time.Millisecond))
					if waiting.Done() {
						t.Error("it was taken for a deadlock")
					}
					c.Signal()
					if l := task.Loop(); l.outside != 0 {
						t.Errorf("%d waits for what is outside are counted", l.outside)
					}
				})
			})
		})
	}
}

// A shared connection, which may be so full that nothing is in flight for it, belongs to other goroutines.
func TestNoDeadlockOfSharedConn(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			shared := c.Shared()
			const size = 4 << 20
			go peer.Write(make([]byte, size))
			go func() {
				time.Sleep(10 * time.Millisecond) // by then the loop receives nothing more
				if _, err := io.CopyN(io.Discard, shared, size); err != nil {
					t.Errorf("Read: %v", err)
				}
				shared.Close()
			}()
		})
	})
}

// Once what was waited for has come, or was given up, it counts no more.
func TestDeadlockAfterAll(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		err := runLoop(t, l, func(task Task) error {
			a, b := pair(t, task)
			for how, scope := range endings {
				for _, wait := range []func(task Task) error{
					func(task Task) error { _, err := NewPromise[int](l).Wait(task); return err },
					func(task Task) error { _, err := NewMailbox[int](l, 1).Receive(task); return err },
					func(task Task) error { _, _, err := Receive[int](task, nil); return err },
					func(task Task) error { _, err := a.Next(); return err },
				} {
					cause, err := scope(task, func() error { return wait(task) })
					wantErr(t, how, err, cause)
				}
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
			return new(Cond).Wait(task)
		})
		var deadlock *DeadlockError
		if !errors.As(err, &deadlock) || len(deadlock.Tasks) != 1 {
			t.Errorf("Run: %v", err)
		}
	})
}

// The end of Run's context, which has come, is told in its place; and in a group there is none.
func TestDeadlockOrEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancelCause(context.Background())
		l := testLoop(t, name)
		must(t, "Go", l.Go(func(task Task) error { cancel(errCause); return new(Cond).Wait(task) }))
		wantErr(t, "Run", runUntil(t, l, ctx), errCause)

		g, err := NewGroup(WithBackend(name), WithLoops(2))
		must(t, "NewGroup", err)
		ctx, cancel = context.WithCancelCause(context.Background())
		must(t, "Go", g.Go(func(task Task) error { return new(Cond).Wait(task) }))
		time.AfterFunc(3*time.Millisecond, func() { cancel(errCause) })
		wantErr(t, "Run", g.Run(ctx), errCause)
	})
}

// A task that sleeps for ever keeps its loop running: that is a timer, if one without an end.
func TestSleepingForEverIsNoDeadlock(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		ctx, cancel := context.WithTimeoutCause(context.Background(), 20*time.Millisecond, io.ErrNoProgress)
		defer cancel()
		must(t, "Go", l.Go(func(task Task) error { return task.Sleep(math.MaxInt64) }))
		wantErr(t, "Run", l.Run(ctx), io.ErrNoProgress)
	})
}

// What is in flight for a connection, or a listener, that no task waits for wakes none, nor does its deadline.
func TestDeadlockBesideIdleConnections(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		err := runLoop(t, l, func(task Task) error {
			a, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			for _, wait := range []func() error{
				func() error { _, err := a.Next(); return err },
				func() error { _, err := ln.Accept(); return err },
			} {
				wantErr(t, "the wait", task.Timeout(time.Millisecond, wait), context.DeadlineExceeded)
			}
			if task.Loop().flight == 0 {
				t.Error("nothing is in flight")
			}
			waiting := task.Go(func(task Task) error { // as long as one waits for input there is no deadlock
				data, err := a.Next()
				if string(data) != "x" {
					t.Errorf("Next: %q, %v", data, err)
				}
				return err
			})
			var m Mutex
			must(t, "Lock", m.Lock(task))
			must(t, "SetDeadline", a.SetDeadline(time.Now().Add(time.Hour)))
			must(t, "SetDeadline", ln.SetDeadline(time.Now().Add(time.Hour)))
			err = task.Timeout(3*time.Millisecond, func() error { return m.Lock(task) })
			wantErr(t, "Lock", err, context.DeadlineExceeded)
			time.AfterFunc(3*time.Millisecond, func() { peer.Write([]byte("x")) })
			err = task.Together(func(g *TaskGroup) error {
				g.Go(m.Lock)
				return m.Lock(task)
			})
			if !waiting.Done() {
				t.Error("the one that waits for input was not waited for")
			}
			return err
		})
		var deadlock *DeadlockError
		if !errors.As(err, &deadlock) || len(deadlock.Tasks) != 2 || deadlock.Tasks[0].For != "Mutex.Lock" {
			t.Errorf("Run: %v", err)
		}
	})
}

// What an event's Resume does that comes late, for a wait that a panic has cut short, may wake others.
func TestNoDeadlockWhileOperationsEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			defer closeFDs(task, r, w)
			var c Cond
			task.Go(func(task Task) error {
				defer func() { recover() }()
				return task.Await(&testEvent{
					register: func(re event.Reactor) error {
						re.Submit(readOp(r))
						panic("cut short")
					},
					resume: func(event.Reactor, *backend.Completion) (bool, error) { c.Signal(); return true, nil },
				})
			})
			must(t, "Wait", c.Wait(task))
		})
	})
}
