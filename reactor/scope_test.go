package reactor

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/eyewall/eyewall/internal/testenv"
)

var errCause = errors.New("the cause")

// A scope ends every kind of wait in it, with its cause and as often as there is one, and none that comes after it.
func TestScopesEndWaits(t *testing.T) {
	for way, set := range waits {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					wait := set(t, task)
					for how, scope := range endings {
						cause, err := scope(task, func() error {
							err := wait(task)
							if again := wait(task); !errors.Is(again, err) && errors.Unwrap(again) != errors.Unwrap(err) {
								t.Errorf("%s: the wait ended with %v, and then with %v", how, err, again)
							}
							return err
						})
						wantErr(t, how, err, cause)
						must(t, "Sleep after "+how, task.Sleep(time.Microsecond))
					}
					waiter := task.Go(func(task Task) error {
						wantErr(t, "CancelCause", wait(task), errCause)
						wantErr(t, "CancelCause", wait(task), errCause)
						return nil
					})
					must(t, "Yield", task.Yield())
					waiter.CancelCause(errCause)
					waiter.Cancel() // the first stands
					when(t, task, "it has ended", waiter.Done)
				}, WithLinger(time.Millisecond))
			})
		})
	}
}

// So it is where a handler waits.
func TestScopesEndWaitsOfHandlers(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		s := start(t, name, Handle, func(c Conn) error {
			if _, err := c.Next(); err != nil {
				return err
			}
			task := c.Task()
			for how, scope := range endings {
				cause, err := scope(task, func() error { _, err := c.Next(); return err })
				wantErr(t, how, err, cause)
				cause, err = scope(task, func() error { return task.Sleep(time.Hour) })
				wantErr(t, how, err, cause)
			}
			ctx := task.Context()
			must(t, "Err", ctx.Err())
			context.AfterFunc(ctx, func() { s := context.Cause(ctx); wantErr(t, "the handler's context", s, context.Canceled) })
			_, err := c.Write([]byte("done"))
			return err
		})
		peer := s.dial(t)
		for range 2 {
			peer.Write([]byte("x"))
			var buf [4]byte
			if n, err := peer.Read(buf[:]); n != 4 || err != nil {
				t.Fatalf("Read: %d, %v", n, err)
			}
		}
		must(t, "Handle", s.stop(t))
	})
}

// What ends in time is not touched by its timeout, and nothing of it is left.
func TestTimeoutNotReached(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, d := range []time.Duration{time.Hour, 1<<63 - 1} {
				wantErr(t, "Timeout", task.Timeout(d, func() error {
					must(t, "Sleep", task.Sleep(time.Microsecond))
					return errCause
				}), errCause)
			}
			if n := task.Loop().timers.Len(); n != 0 {
				t.Errorf("%d timers are left", n)
			}
			must(t, "Sleep", task.Timeout(3*time.Millisecond, func() error { return nil }))
			must(t, "Sleep", task.Sleep(5*time.Millisecond))
		})
	})
}

// Of nested timeouts each ends what is in it, and nothing else.
func TestNestedTimeouts(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			began := time.Now()
			err := task.Timeout(time.Hour, func() error {
				wantErr(t, "inner", task.Timeout(2*time.Millisecond, func() error { return task.Sleep(time.Hour) }), context.DeadlineExceeded)
				must(t, "Sleep between", task.Sleep(time.Microsecond))
				return task.Timeout(4*time.Millisecond, func() error {
					wantErr(t, "far", task.Timeout(time.Hour, func() error { return task.Sleep(time.Hour) }), context.DeadlineExceeded)
					return task.Sleep(time.Microsecond)
				})
			})
			wantErr(t, "second", err, context.DeadlineExceeded)
			if took := time.Since(began); took < 6*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			must(t, "Sleep", task.Sleep(time.Microsecond))
		})
	})
}

// What arrives is not lost by a timeout: the next read goes on where the last one was.
func TestTimeoutLosesNoByte(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			want := pattern(1500)
			task.Go(func(task Task) error {
				for i := range want {
					a.Write(want[i : i+1])
					if i%3 == 0 {
						task.Sleep(10 * time.Microsecond)
					}
				}
				return a.Close()
			})
			var got []byte
			for over, d := false, time.Duration(0); !over; d = (d + 3*time.Microsecond) % (100 * time.Microsecond) {
				err := task.Timeout(d, func() error {
					data, err := b.Next()
					got = append(got, data...)
					return err
				})
				if over = isEOF(err); !over && err != nil {
					wantErr(t, "Next", err, context.DeadlineExceeded)
				}
			}
			same(t, "what was read", got, want)
			must(t, "Close", b.Close())
		})
	})
}

// Shield keeps Cancel and the scopes around it out, until it is left.
func TestShield(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			steps := 0
			shielded := func(task Task) error {
				return task.Shield(func() error {
					ctx := task.Context()
					must(t, "Sleep in Shield", task.Sleep(4*time.Millisecond))
					must(t, "context in Shield", ctx.Err())
					wantErr(t, "Timeout in Shield", task.Timeout(0, func() error { return task.Sleep(time.Hour) }), context.DeadlineExceeded)
					if _, ok := ctx.Deadline(); ok {
						t.Error("a context in Shield has the deadline of what is around")
					}
					steps++
					return nil
				})
			}
			wantErr(t, "Timeout", task.Timeout(time.Millisecond, func() error {
				must(t, "Shield", shielded(task))
				wantErr(t, "context", task.Context().Err(), context.DeadlineExceeded)
				return task.Sleep(time.Hour)
			}), context.DeadlineExceeded)

			waiter := task.Go(func(task Task) error {
				must(t, "Shield", shielded(task))
				wantErr(t, "context", context.Cause(task.Context()), errCause)
				wantErr(t, "Sleep after Shield", task.Sleep(time.Hour), errCause)
				must(t, "Shield of a canceled task", shielded(task))
				wantErr(t, "Sleep after Shield", task.Sleep(time.Hour), errCause)
				return nil
			})
			must(t, "Yield", task.Yield())
			waiter.CancelCause(errCause)
			when(t, task, "it has ended", waiter.Done)
			if steps != 3 {
				t.Errorf("%d of 3 went through", steps)
			}
		})
	})
}

// The end of the loop reaches into it, also where Cancel came before.
func TestShieldAtTheEnd(t *testing.T) {
	for _, before := range []bool{false, true} {
		eachBackend(t, func(t *testing.T, name string) {
			ctx, cancel := context.WithCancelCause(context.Background())
			l := testLoop(t, name)
			ended := 0
			must(t, "Go", l.Go(func(task Task) error {
				waiter := task.Go(func(task Task) error {
					return task.Shield(func() error {
						inner := task.Context()
						err := task.Sleep(time.Hour)
						if !before {
							wantErr(t, "Sleep", err, ErrCanceled)
						}
						if err == nil || inner.Err() == nil {
							t.Errorf("Sleep: %v, the context: %v", err, inner.Err())
						}
						ended++
						return err
					})
				})
				must(t, "Yield", task.Yield())
				if before {
					waiter.CancelCause(errCause)
					must(t, "Sleep", task.Sleep(time.Millisecond))
				}
				cancel(errFailed)
				return nil
			}))
			wantErr(t, "Run", runUntil(t, l, ctx), errFailed)
			if ended != 1 {
				t.Error("it did not end")
			}
		})
	}
}

type key struct{}

// A task's context has the values of those it derives from, ends when its scope does, with the cause, and tells when
// that will be.
func TestTaskContext(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		var whole context.Context
		must(t, "Go", l.Go(func(task Task) error {
			whole = task.Context()
			wantValue := func(ctx context.Context, want any) {
				t.Helper()
				if got := ctx.Value(key{}); got != want {
					t.Errorf("the value is %v, want %v", got, want)
				}
			}
			wantValue(whole, "Run's")
			if task.Context() != whole {
				t.Error("it is another one each time")
			}
			if at, ok := whole.Deadline(); ok {
				t.Errorf("it has a deadline: %v", at)
			}

			var inner context.Context
			with := context.WithValue(context.Background(), key{}, "With's")
			must(t, "With", task.With(with, func() error {
				inner = task.Context()
				wantValue(inner, "With's")
				return inner.Err()
			}))
			wantErr(t, "With's context after it", inner.Err(), context.Canceled)
			must(t, "the task's", whole.Err())

			began := time.Now()
			task.Timeout(2*time.Millisecond, func() error {
				return task.Timeout(time.Hour, func() error {
					return task.With(with, func() error {
						inner = task.Context()
						if at, ok := inner.Deadline(); !ok || at.Sub(began) > time.Minute {
							t.Errorf("Deadline: %v, %v; another timeout is over sooner", at, ok)
						}
						derived, cancel := context.WithCancel(inner)
						defer cancel()
						wantErr(t, "Sleep", task.Sleep(time.Hour), context.DeadlineExceeded)
						wantErr(t, "Err", inner.Err(), context.DeadlineExceeded)
						wantErr(t, "Cause", context.Cause(inner), context.DeadlineExceeded)
						wantErr(t, "derived", context.Cause(derived), context.DeadlineExceeded)
						<-inner.Done()
						<-derived.Done()
						wantErr(t, "a context asked for late", task.Context().Err(), context.DeadlineExceeded)
						return nil
					})
				})
			})
			wantErr(t, "Err after the scope", inner.Err(), context.DeadlineExceeded)
			must(t, "the task's", task.Context().Err())

			other := task.Go(func(task Task) error {
				ctx := task.Context()
				task.Sleep(time.Hour)
				wantErr(t, "Err", ctx.Err(), context.Canceled)
				wantErr(t, "Cause", context.Cause(ctx), errCause)
				return nil
			})
			must(t, "Yield", task.Yield())
			outside := other.Context() // of another task
			other.CancelCause(errCause)
			wantErr(t, "the other's", context.Cause(outside), errCause)
			when(t, task, "it has ended", other.Done)
			wantErr(t, "that of an ended task", other.Context().Err(), context.Canceled)
			return nil
		}))
		must(t, "Run", runUntil(t, l, context.WithValue(context.Background(), key{}, "Run's")))
		wantErr(t, "the context after the task", whole.Err(), context.Canceled)
	})
}

// A context of a task that ends by itself, by a panic or by Goexit, ends with it; deferred functions see it in scope.
func TestScopesAreLeft(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for how, leave := range map[string]func(){"panic": func() { panic("in scope") }, "Goexit": runtime.Goexit} {
				var whole, inner context.Context
				deferred := 0
				left := task.Go(func(task Task) error {
					whole = task.Context()
					defer func() {
						recover()
						deferred++
						must(t, "Sleep after the scope", task.Sleep(time.Microsecond))
						must(t, "the task's context", whole.Err())
						wantErr(t, "the scope's context", inner.Err(), context.Canceled)
					}()
					return task.Timeout(time.Hour, func() error {
						return task.With(context.Background(), func() error {
							inner = task.Context()
							defer func() { deferred++; must(t, "Sleep in scope", task.Sleep(time.Microsecond)) }()
							must(t, "Sleep", task.Sleep(time.Microsecond))
							leave()
							return nil
						})
					})
				})
				when(t, task, how+" has ended it", left.Done)
				if deferred != 2 {
					t.Errorf("%s: %d of 2 defers ran", how, deferred)
				}
				wantErr(t, "the task's context", whole.Err(), context.Canceled)
				if n := task.Loop().timers.Len(); n != 0 {
					t.Errorf("%s: %d timers are left", how, n)
				}
			}
		})
	})
}

// With's context may end while nobody waits, in another goroutine, after body, and after the loop.
func TestWithEndsLate(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancelCause(context.Background())
		late, end := context.WithCancel(context.Background())
		run(t, name, func(task Task) {
			must(t, "With", task.With(late, func() error { return nil }))
			wantErr(t, "With", task.With(ctx, func() error {
				cancel(errCause)
				wantErr(t, "the context", context.Cause(task.Context()), errCause)
				return task.Sleep(time.Hour)
			}), errCause)
			must(t, "Sleep", task.Sleep(time.Microsecond))
		})
		end()
	})
}

// A scope is the running task's only.
func TestScopeOfAnotherTask(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			never := func() error { t.Error("body was called"); return nil }
			other := task.Go(func(task Task) error { return task.Sleep(time.Microsecond) })
			wantErr(t, "Timeout", other.Timeout(time.Hour, never), ErrNotTask)
			wantErr(t, "With", other.With(context.Background(), never), ErrNotTask)
			wantErr(t, "Shield", other.Shield(never), ErrNotTask)
			wantErr(t, "Shield of none", Task{}.Shield(never), ErrNotTask)
			when(t, task, "it has ended", other.Done)
		})
	})
}

// CancelCause without a cause is Cancel.
func TestCancelWithoutCause(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ctx := task.Context()
			task.CancelCause(nil)
			wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled)
			wantErr(t, "Err", ctx.Err(), ErrCanceled)
		})
	})
}

// Where a write's deadline ends it and is moved before the writer hears of that, it is told all the same.
func TestWriteCutByDeadlineThatMoves(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, _ := pairOf(t, task, full, "127.0.0.1:0")
			ended := false
			task.Go(func(Task) error {
				defer func() { ended = true }()
				n, err := a.Write(make([]byte, 8<<20))
				if n == 8<<20 || !errors.Is(err, ErrDeadline) {
					t.Errorf("Write: %d, %v", n, err)
				}
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			must(t, "SetWriteDeadline", a.SetWriteDeadline(time.Now()))
			must(t, "Yield", task.Yield()) // the writer has asked for its end
			must(t, "SetWriteDeadline", a.SetWriteDeadline(time.Time{}))
			when(t, task, "it has ended", func() bool { return ended })
		}, WithLinger(time.Millisecond))
	})
}

// A timeout for each message allocates nothing.
func TestTimeoutAllocatesNothing(t *testing.T) {
	undebugged(t)
	if testenv.Race {
		return
	}
	eachDriver(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			round := func() {
				task.Timeout(time.Hour, func() error { return task.Shield(task.Yield) })
				task.Timeout(0, task.Yield)
			}
			for range 10 {
				round()
			}
			if n := testing.AllocsPerRun(100, round); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	})
}

// Any number of waits that a scope has ended is not held against a task when the loop ends.
func TestManyTimeoutsAndTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancelCause(context.Background())
		l := testLoop(t, name)
		told := 0
		must(t, "Go", l.Go(func(task Task) error {
			for range 2 * maxRefusals {
				wantErr(t, "Yield", task.Timeout(0, task.Yield), context.DeadlineExceeded)
			}
			cancel(errCause)
			for range 3 {
				wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled)
				told++
			}
			return nil
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), errCause)
		if told != 3 {
			t.Errorf("it was told %d of 3 times", told)
		}
	})
}

// The end of Run's context ends every wait with its cause, which stands beside ErrCanceled; that a task returns either is
// no error.
func TestRunsContextEndsWaitsWithItsCause(t *testing.T) {
	for way, set := range waits {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				for _, cause := range []error{errCause, context.DeadlineExceeded, ErrCanceled} {
					ctx, cancel := context.WithCancelCause(context.Background())
					l := testLoop(t, name, WithLinger(0), WithErrors(func(err error) {
						if !errors.As(err, new(*UnsentError)) { // since some peers never read
							t.Errorf("WithErrors: %v", err)
						}
					}))
					told := 0
					tell := func(what string, err error) error {
						told++
						if wantErr(t, what, err, cause); !errors.Is(err, ErrCanceled) {
							t.Errorf("%s: %v does not wrap ErrCanceled", what, err)
						}
						return err
					}
					must(t, "Go", l.Go(func(task Task) error {
						wait := set(t, task)
						task.Go(func(task Task) error { return tell("the wait", wait(task)) })
						for _, err := range []error{ErrCanceled, cause} {
							task.Go(func(task Task) error {
								task.Sleep(time.Hour)
								return err
							})
						}
						task.Go(func(task Task) error {
							return task.Timeout(time.Hour, func() error {
								inner := task.Context()
								err := task.Together(func(g *TaskGroup) error {
									g.Go(func(task Task) error { return tell("a child's", task.Sleep(time.Hour)) })
									return nil
								})
								wantErr(t, "the context's cause", context.Cause(inner), cause)
								return tell("the caller's", err)
							})
						})
						must(t, "Yield", task.Yield())
						cancel(cause)
						err := tell("the first's", task.Sleep(time.Hour))
						task.Go(func(task Task) error { return tell("a late one's", task.Sleep(time.Hour)) })
						return err
					}))
					if err := runUntil(t, l, ctx); err != cause {
						t.Errorf("Run: %v", err)
					}
					if told != 5 {
						t.Errorf("%d of 5 waits were told of %v", told, cause)
					}
				}
			})
		})
	}
}
