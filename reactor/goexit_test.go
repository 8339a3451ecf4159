package reactor

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
)

// Goexit, on which t.FailNow is built, ends the task that calls it, with its defers, and nothing else: it is no error.
func TestGoexitEndsTask(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const tasks = 2000
		deferred := 0
		run(t, name, func(task Task) {
			for i := range tasks {
				task.Go(func(task Task) error {
					defer func() { deferred++ }()
					if i%2 == 0 {
						must(t, "Yield", task.Yield())
					}
					defer func() {
						if i%3 == 0 {
							must(t, "Sleep", task.Sleep(time.Microsecond)) // on its way out it may still wait
						}
					}()
					runtime.Goexit()
					return errors.New("it went on")
				})
			}
			when(t, task, "all have ended", func() bool { return deferred == tasks })
			must(t, "Sleep", task.Sleep(time.Millisecond))
		})
	})
}

// Goexit within a wait ends it, too: what the event has in flight is canceled.
func TestGoexitInRegister(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			defer closeFDs(task, r, w)
			ended := 0
			task.Go(func(task Task) error {
				return task.Await(&testEvent{
					register: func(e event.Reactor) error {
						e.Submit(backend.Op{Kind: backend.Read, FD: r, Buf: make([]byte, 1)})
						runtime.Goexit()
						return nil
					},
					resume: func(_ event.Reactor, c *backend.Completion) (bool, error) {
						wantErr(t, "the read", c.Err, ErrCanceled)
						ended++
						return true, nil
					},
				})
			})
			when(t, task, "the read has ended", func() bool { return ended == 1 })
		})
	})
}

// In a posted function Goexit would end the loop's own code. It ends Run, in good order.
func TestGoexitInPost(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		unwound := 0
		err := runLoop(t, l, func(task Task) error {
			for range 3 {
				a, _ := pair(t, task)
				task.Go(func(task Task) error {
					defer func() { unwound++ }()
					_, err := a.Next()
					return err
				})
			}
			must(t, "Yield", task.Yield())
			must(t, "Post", l.Post(runtime.Goexit))
			must(t, "Post", l.Post(runtime.Goexit))
			return nil
		})
		if err == nil {
			t.Error("Run returned no error")
		}
		if unwound != 3 {
			t.Errorf("%d of 3 tasks were unwound", unwound)
		}
		wantErr(t, "Post", l.Post(func() {}), ErrLoopEnded)
	})
}

func TestGoexitInResume(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		unwound := 0
		err := runLoop(t, l, func(task Task) error {
			for i := range 3 {
				task.Go(func(task Task) error {
					defer func() { unwound++ }()
					return task.Await(&testEvent{
						register: func(r event.Reactor) error { r.Timer(r.Now() + time.Millisecond); return nil },
						resume: func(event.Reactor, *backend.Completion) (bool, error) {
							if i == 1 {
								runtime.Goexit()
							}
							return false, nil
						},
					})
				})
			}
			return nil
		})
		if err == nil {
			t.Error("Run returned no error")
		}
		if unwound != 3 {
			t.Errorf("%d of 3 tasks were unwound", unwound)
		}
	})
}

func TestGoexitInHook(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name, WithErrors(func(error) { runtime.Goexit() }))
		unwound := false
		runLoop(t, l, func(task Task) error {
			task.Go(func(task Task) error {
				defer func() { unwound = true }()
				return task.Sleep(time.Millisecond)
			})
			must(t, "Yield", task.Yield())
			return errors.New("trouble")
		})
		if !unwound {
			t.Error("the other task was left behind")
		}
	})
}

// A panic on the way out of Goexit is a panic, of a task and of a handler, and ends nobody else.
func TestPanicAfterGoexit(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var seen []error
		opts := []Option{WithPanicsContained(), WithErrors(func(err error) { seen = append(seen, err) })}
		goexit := func(task Task, waits bool) error {
			defer panicking("late")
			if waits {
				must(t, "Sleep", task.Sleep(time.Microsecond))
			}
			runtime.Goexit()
			return nil
		}
		run(t, name, func(task Task) {
			for i := range 4 {
				task.Go(func(task Task) error { return goexit(task, i%2 == 0) })
			}
			when(t, task, "all have ended", func() bool { return len(seen) == 4 })
			must(t, "Sleep", task.Sleep(time.Millisecond))
		}, opts...)

		called := make(chan error, 4)
		s := start(t, name, Handle, func(c Conn) error {
			data, err := c.Next()
			if err != nil {
				return err
			}
			return goexit(c.Task(), data[0] == 'w')
		}, WithPanicsContained(), WithErrors(func(err error) { called <- err }))
		for _, how := range []string{"waits", "goes", "waits", "goes"} {
			s.dial(t).Write([]byte(how))
			select {
			case err := <-called:
				wantPanic(t, err, "late")
			case <-time.After(limit):
				t.Fatal("no panic")
			}
		}
		must(t, "Handle", s.stop(t))
		for _, err := range seen {
			wantPanic(t, err, "late")
		}
	})
}
