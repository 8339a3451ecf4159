package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Children end before Together does, whoever starts them, and what they do is done.
func TestTogetherWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ended := 0
			var children []Task
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				for i := range 50 {
					children = append(children, g.Go(func(task Task) error {
						g.Go(func(task Task) error { // of a child
							ended++
							return nil
						})
						if i%2 == 0 {
							must(t, "Sleep", task.Sleep(time.Duration(i)*10*time.Microsecond))
						}
						ended++
						return nil
					}))
				}
				return nil
			}))
			if ended != 100 {
				t.Errorf("%d of 100 have ended", ended)
			}
			for _, c := range children {
				if !c.Done() {
					t.Error("a child has not ended")
				}
			}
			must(t, "Together of nobody", task.Together(func(*TaskGroup) error { return nil }))
			wantErr(t, "an error of body", task.Together(func(*TaskGroup) error { return errCause }), errCause)
			must(t, "Sleep", task.Sleep(time.Microsecond))
		})
	})
}

// The first error ends the other children's waits, of every kind, and body's, and is what comes back.
func TestTogetherFirstError(t *testing.T) {
	for way, set := range waits {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					wait := set(t, task)
					told := 0
					tell := func(err error) error {
						if !errors.Is(err, context.Canceled) || !errors.Is(err, errCause) {
							t.Errorf("the wait ended with %v", err)
						}
						told++
						return fmt.Errorf("later: %w", err)
					}
					err := task.Together(func(g *TaskGroup) error {
						g.Go(func(task Task) error { return tell(wait(task)) })
						g.Go(func(task Task) error { // deeper
							return tell(task.Together(func(g *TaskGroup) error {
								g.Go(func(task Task) error { return tell(task.Sleep(time.Hour)) })
								return nil
							}))
						})
						g.Go(func(task Task) error {
							must(t, "Sleep", task.Sleep(time.Millisecond))
							return errCause
						})
						err := task.Sleep(time.Hour)
						late := g.Go(func(task Task) error { return tell(task.Sleep(time.Hour)) })
						tell(err)
						if late.Done() {
							t.Error("it has ended before it began")
						}
						return err
					})
					if err != errCause {
						t.Errorf("Together: %v", err)
					}
					if told != 5 {
						t.Errorf("%d of 5 were told", told)
					}
					must(t, "Sleep", task.Sleep(time.Microsecond))
				}, WithLinger(time.Millisecond))
			})
		})
	}
}

// Body's error does so, too; io.EOF is an error like others.
func TestTogetherErrorOfBody(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			canceled := 0
			wantErr(t, "Together", task.Together(func(g *TaskGroup) error {
				for range 3 {
					g.Go(func(task Task) error {
						err := task.Sleep(time.Hour)
						wantErr(t, "Sleep", err, io.EOF)
						wantErr(t, "cause", context.Cause(task.Context()), io.EOF)
						canceled++
						return err
					})
				}
				must(t, "Sleep", task.Sleep(time.Millisecond))
				return io.EOF
			}), io.EOF)
			if canceled != 3 {
				t.Errorf("%d of 3 were canceled", canceled)
			}
		})
	})
}

// What ends the caller's waits ends the children's, with its cause: while body runs, and after.
func TestTogetherCallerCanceled(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for how, scope := range endings {
				for _, waiting := range []bool{false, true} {
					children := 0
					cause, err := scope(task, func() error {
						return task.Together(func(g *TaskGroup) error {
							for range 3 {
								g.Go(func(task Task) error {
									defer func() { children++ }()
									return task.Timeout(time.Hour, func() error { return task.Sleep(time.Hour) })
								})
							}
							if waiting {
								return task.Sleep(time.Hour)
							}
							return nil
						})
					})
					wantErr(t, how, err, cause)
					if children != 3 {
						t.Errorf("%s: %d of 3 children have ended", how, children)
					}
				}
			}
			// A Shield around the group keeps it out, one in body does not keep it from the children.
			caller := task.Go(func(task Task) error {
				must(t, "shielded", task.Shield(func() error {
					return task.Together(func(g *TaskGroup) error {
						g.Go(func(task Task) error { return task.Sleep(3 * time.Millisecond) })
						return nil
					})
				}))
				wantErr(t, "Together", task.Together(func(g *TaskGroup) error {
					child := g.Go(func(task Task) error { return task.Sleep(time.Hour) })
					return task.Shield(func() error {
						when(t, task, "the child has ended", child.Done)
						return nil
					})
				}), errCause)
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			caller.CancelCause(errCause)
			when(t, task, "it has ended", caller.Done)
		})
	})
}

// A child canceled by itself has not failed, nor have those that Cancel ends.
func TestTogetherCancelOne(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				one := g.Go(func(task Task) error { return task.Sleep(time.Hour) })
				other := g.Go(func(task Task) error { return task.Sleep(2 * time.Millisecond) })
				must(t, "Yield", task.Yield())
				one.CancelCause(errCause)
				when(t, task, "one has ended", one.Done)
				if other.Done() {
					t.Error("the other was canceled")
				}
				return nil
			}))
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				g.Go(func(task Task) error { return task.Sleep(time.Hour) })
				must(t, "Yield", task.Yield())
				g.Cancel()
				return task.Sleep(time.Hour)
			}))
			wantErr(t, "Together", task.Together(func(g *TaskGroup) error {
				g.Go(func(task Task) error { task.Sleep(time.Hour); return errCause })
				g.Cancel()
				return nil
			}), errCause)
		})
	})
}

// A child's panic ends the others, and comes out of Together as it was, with its stack.
func TestTogetherPanic(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, where := range []string{"child", "grandchild", "body", "child, then body", "body, then child", "child, body exits"} {
				ended, canceled := 0, 0
				var caught any
				caller := task.Go(func(task Task) error {
					defer func() {
						caught = recover()
						must(t, "Sleep", task.Sleep(time.Microsecond))
					}()
					return task.Together(func(g *TaskGroup) error {
						for range 3 {
							g.Go(func(task Task) error {
								defer func() { ended++ }()
								err := task.Sleep(time.Hour)
								if errors.Is(err, context.Canceled) {
									canceled++
								}
								task.Shield(task.Yield) // takes its time
								return err
							})
						}
						must(t, "Yield", task.Yield())
						fail := func(task Task) error { panicking("in a child"); return nil }
						switch where {
						case "child", "child, then body", "child, body exits":
							g.Go(fail)
						case "grandchild":
							g.Go(func(task Task) error { return task.Together(func(g *TaskGroup) error { g.Go(fail); return nil }) })
						case "body":
							panic("in body")
						case "body, then child":
							g.Go(func(task Task) error { task.Sleep(time.Hour); panic("too late") })
							must(t, "Yield", task.Yield())
							panic("in body")
						}
						err := task.Sleep(time.Hour)
						if where == "child, then body" {
							panic("too late")
						}
						if where == "child, body exits" {
							runtime.Goexit()
						}
						return err
					})
				})
				when(t, task, "it has ended", caller.Done)
				if ended != 3 || canceled != 3 {
					t.Errorf("%s: %d of 3 children ended, %d were canceled", where, ended, canceled)
				}
				if strings.HasPrefix(where, "body") {
					if caught != "in body" {
						t.Errorf("%s: caught %v", where, caught)
					}
					continue
				}
				p, ok := caught.(*PanicError)
				if !ok || p.Value != "in a child" || !strings.Contains(string(p.Stack), "panicking") {
					t.Errorf("%s: caught %v", where, caught)
				}
			}
		})
	})
}

// Where nobody recovers, it ends Run as the panic that it was.
func TestTogetherPanicEndsRun(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		wantPanic(t, runLoop(t, l, func(task Task) error {
			return task.Together(func(g *TaskGroup) error {
				g.Go(func(Task) error { panicking("in a child"); return nil })
				return nil
			})
		}), "in a child")
		l = testLoop(t, name)
		wantPanic(t, runLoop(t, l, func(task Task) error { // whose stack is still that of panicking
			return task.Together(func(g *TaskGroup) error {
				g.Go(func(task Task) error { return task.Sleep(time.Hour) })
				must(t, "Yield", task.Yield())
				panicking("in body")
				return nil
			})
		}), "in body")
	})
}

// Goexit of a child ends it and nothing else; of body, the group.
func TestTogetherGoexit(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				g.Go(func(Task) error { runtime.Goexit(); return nil })
				g.Go(func(task Task) error { return task.Sleep(time.Millisecond) })
				return nil
			}))
			canceled, after := 0, false
			caller := task.Go(func(task Task) error {
				return task.Together(func(g *TaskGroup) error {
					for range 3 {
						g.Go(func(task Task) error {
							wantErr(t, "Sleep", task.Sleep(time.Hour), context.Canceled)
							canceled++
							return nil
						})
					}
					must(t, "Yield", task.Yield())
					defer func() { after = canceled == 0 }()
					runtime.Goexit()
					return nil
				})
			})
			when(t, task, "it has ended", caller.Done)
			if canceled != 3 || !after {
				t.Errorf("%d of 3 children were canceled", canceled)
			}
		})
	})
}

// At the end of the loop the children are canceled like others; those that ignore it are ended.
func TestTogetherAtTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		l := testLoop(t, name)
		ended, joined := 0, 0
		must(t, "Go", l.Go(func(task Task) error {
			defer func() { joined = ended }()
			return task.Together(func(g *TaskGroup) error {
				for i := range 4 {
					g.Go(func(task Task) error {
						defer func() { ended++ }()
						if i == 0 {
							return task.Shield(func() error { return task.Sleep(time.Hour) })
						}
						for i == 1 {
							task.Sleep(time.Hour)
						}
						return task.Sleep(time.Hour)
					})
				}
				must(t, "Yield", task.Yield())
				cancel()
				return nil
			})
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
		if joined != 4 {
			t.Errorf("Together returned when %d of 4 had ended", joined)
		}
	})
}

// A backend that breaks ends children and caller where they stand.
func TestTogetherBroken(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		ended := 0
		err := runLoop(t, l, func(task Task) error {
			defer func() { ended++ }()
			return task.Together(func(g *TaskGroup) error {
				for range 3 {
					g.Go(func(task Task) error {
						defer func() { ended++; task.Context() }()
						return task.Sleep(time.Hour)
					})
				}
				must(t, "Yield", task.Yield())
				spyOn(l).counts(func() { spyOn(l).pollErr = errCause })
				return nil
			})
		})
		wantErr(t, "Run", err, errCause)
		if ended != 4 {
			t.Errorf("%d of 4 were unwound", ended)
		}
	})
}

// A handler may have children.
func TestTogetherInHandler(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		s := start(t, name, Handle, func(c Conn) error {
			data, err := c.Next()
			if err != nil {
				return err
			}
			got := string(data)
			err = c.Task().Together(func(g *TaskGroup) error {
				g.Go(func(task Task) error { _, err := c.Write([]byte("<" + got)); return err })
				g.Go(func(task Task) error { return task.Sleep(time.Millisecond) })
				return nil
			})
			if err != nil {
				return err
			}
			_, err = c.Write([]byte(">"))
			return err
		})
		peer := s.dial(t)
		for range 3 {
			peer.Write([]byte("x"))
			buf := make([]byte, 3)
			if _, err := io.ReadFull(peer, buf); string(buf) != "<x>" || err != nil {
				t.Errorf("Read: %q, %v", buf, err)
			}
		}
		must(t, "Handle", s.stop(t))
	})
}

// Children have the values of the caller's context, which ends when the group's waits do.
func TestTogetherContext(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			with := context.WithValue(context.Background(), key{}, "With's")
			task.With(with, func() error {
				return task.Together(func(g *TaskGroup) error {
					var child context.Context
					g.Go(func(task Task) error {
						child = task.Context()
						if child.Value(key{}) != "With's" {
							t.Error("the child's context has not the caller's values")
						}
						return errCause
					})
					wantErr(t, "Sleep", task.Sleep(time.Hour), errCause)
					wantErr(t, "body's context", context.Cause(task.Context()), errCause)
					wantErr(t, "the child's", child.Err(), context.Canceled)
					return nil
				})
			})
		})
	})
}

// What a group keeps does not grow with the children that have ended.
func TestTogetherForgetsChildren(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				stays := g.Go(func(task Task) error { return task.Sleep(time.Hour) })
				for range 200 {
					for range 5 {
						g.Go(func(Task) error { return nil })
					}
					must(t, "Yield", task.Yield())
				}
				if g.n != 1 || g.first == nil || g.first.next != nil || g.first.task != stays.t {
					t.Errorf("%d children are kept", g.n)
				}
				if n := task.Loop().tasks.n; n > 10 {
					t.Errorf("the loop has made %d tasks", n)
				}
				g.Cancel()
				return nil
			}))
			defer func() {
				if recover() == nil {
					t.Error("Go after Together did not panic")
				}
			}()
			var late *TaskGroup
			task.Together(func(g *TaskGroup) error { late = g; return nil })
			late.Go(func(Task) error { t.Error("a child outlives its group"); return nil })
		})
	})
}

// Results come typed.
func TestStart(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var text *Promise[string]
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				number := Start(g, func(task Task) (int, error) { return 42, task.Sleep(time.Millisecond) })
				text = Start(g, func(task Task) (string, error) {
					n, err := number.Wait(task)
					return fmt.Sprint(n), err
				})
				if number.Done() {
					t.Error("it is done before it began")
				}
				return nil
			}))
			if s, err := text.Wait(task); s != "42" || err != nil {
				t.Errorf("Wait: %q, %v", s, err)
			}
			var failed, gone *Promise[int]
			err := task.Together(func(g *TaskGroup) error {
				gone = Start(g, func(Task) (int, error) { runtime.Goexit(); return 1, nil })
				_, err := gone.Wait(task)
				wantErr(t, "Wait for one that called Goexit", err, errNoResult)
				failed = Start(g, func(Task) (int, error) { return 7, errCause })
				return nil
			})
			wantErr(t, "Together", err, errCause)
			if n, err := failed.Wait(task); n != 7 || err != errCause {
				t.Errorf("Wait: %d, %v", n, err)
			}
		})
	})
}

func TestFirst(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			canceled := 0
			after := func(d time.Duration, n int, err error) func(Task) (int, error) {
				return func(task Task) (int, error) {
					if stopped := task.Sleep(d); stopped != nil {
						canceled++
						return 0, stopped
					}
					return n, err
				}
			}
			n, err := First(task, after(time.Hour, 1, nil), after(time.Millisecond, 2, nil), after(time.Hour, 3, nil))
			if n != 2 || err != nil || canceled != 2 {
				t.Errorf("First: %d, %v; %d of 2 were canceled", n, err, canceled)
			}
			n, err = First(task, after(time.Hour, 1, nil), after(time.Millisecond, 2, errCause))
			if n != 2 || err != errCause {
				t.Errorf("First: %d, %v", n, err)
			}
			err = task.Timeout(time.Millisecond, func() error { _, err := First(task, after(time.Hour, 1, nil)); return err })
			wantErr(t, "First that is canceled", err, context.DeadlineExceeded)
			_, err = First[int](task)
			wantErr(t, "First of nothing", err, errNoFirst)
			defer func() {
				if p, ok := recover().(*PanicError); !ok || p.Value != "first" {
					t.Errorf("caught %v", p)
				}
			}()
			First(task, after(time.Hour, 1, nil), func(Task) (int, error) { panic("first") })
		})
	})
}
