package reactor

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
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

// A coroutine that Goexit has ended is given back at once, and not when the loop ends: the number of goroutines does
// not grow with the number of tasks and handlers that call Goexit.
func TestGoexitGivesCoroutineBack(t *testing.T) {
	const rounds, tasks = 50, 10
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			before := runtime.NumGoroutine()
			for range rounds {
				ended := 0
				for i := range tasks {
					task.Go(func(task Task) error {
						defer func() { ended++ }()
						if i%2 == 0 {
							must(t, "Yield", task.Yield())
						}
						runtime.Goexit()
						return nil
					})
				}
				when(t, task, "all have ended", func() bool { return ended == tasks })
			}
			when(t, task, "the coroutines are given back", func() bool {
				return runtime.NumGoroutine() <= before+tasks
			})
		})
	})
	t.Run("Handle", func(t *testing.T) {
		eachBackend(t, func(t *testing.T, name string) {
			ended := make(chan struct{}, 1)
			s := start(t, name, Handle, func(c Conn) error {
				defer func() { ended <- struct{}{} }()
				data, err := c.Next()
				if err == nil && data[0] == 'w' {
					must(t, "Sleep", c.Task().Sleep(time.Microsecond))
				}
				runtime.Goexit()
				return nil
			})
			before := runtime.NumGoroutine()
			for i := range 2 * rounds {
				c := s.dial(t)
				c.Write([]byte{"wg"[i%2]})
				<-ended
				c.Close()
			}
			if !eventually(func() bool { return runtime.NumGoroutine() <= before+tasks }) {
				t.Errorf("there were %d goroutines, and are %d after %d handlers have called Goexit",
					before, runtime.NumGoroutine(), 2*rounds)
			}
			must(t, "Handle", s.stop(t))
		})
	})
}

// A goroutine that has the memory of a coroutine which a handler's Goexit has ended is not taken for the loop.
func TestForeignAfterGoexit(t *testing.T) {
	needsGoroutines(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // or hardly any goroutine begins at the right moment
	eachBackend(t, func(t *testing.T, name string) {
		var loop atomic.Pointer[Loop]
		s := start(t, name, Handle, func(c Conn) error {
			loop.Store(c.c.loop)
			runtime.Goexit()
			return nil
		}, WithErrors(func(error) {}))
		over := make(chan struct{})
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					var asked sync.WaitGroup
					for range 2 {
						asked.Go(func() {
							if l := loop.Load(); l != nil && !l.elsewhere() {
								t.Error("a goroutine is taken for the loop")
							}
						})
					}
					asked.Wait()
				}
			})
		}
		for range 300 {
			c := s.dial(t)
			c.Write([]byte("x"))
			c.Read(make([]byte, 1))
			c.Close()
		}
		close(over)
		all.Wait()
		must(t, "Handle", s.stop(t))
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
