package reactor

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"
)

// A call that waits for a loop cannot succeed on that loop, and says so at once: in a task, in a posted function, and
// in a coroutine that a task has made.
func TestWaitForOwnLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var calls map[string]func() error
		try := func(where string) {
			for what, call := range calls {
				if err := call(); !errors.Is(err, errOwnLoop) || !strings.Contains(err.Error(), "goroutine") {
					t.Errorf("%s in %s: %v", what, where, err)
				}
			}
		}
		body := func(task Task) {
			try("a task")
			next, stop := iter.Pull(func(yield func(bool) bool) { try("a coroutine"); yield(true) })
			next()
			stop()
			posted := NewPromise[bool](task.Loop())
			must(t, "Post", task.Loop().Post(func() { try("a posted function"); posted.Set(true, nil) }))
			_, err := posted.Wait(task)
			must(t, "Wait", err)
		}
		bg := context.Background()

		l := testLoop(t, name)
		calls = map[string]func() error{
			"Loop.Shutdown":    func() error { return l.Shutdown(bg) },
			"Loop.AskDump":     func() error { _, err := l.AskDump(bg); return err },
			"Loop.DialContext": func() error { _, err := l.DialContext(bg, "tcp", "127.0.0.1:1"); return err },
		}
		must(t, "Run", runLoop(t, l, func(task Task) error { body(task); return nil }))
		if l.Draining() {
			t.Error("Shutdown has begun")
		}

		g, err := NewGroup(WithBackend(name), WithLoops(2))
		must(t, "NewGroup", err)
		calls = map[string]func() error{
			"Group.Shutdown": func() error { return g.Shutdown(bg) },
			"Group.Dump":     func() error { _, err := g.Dump(bg); return err },
			"Group.Stats":    func() error { _, err := g.Stats(bg); return err },
		}
		for _, l := range g.Loops() {
			must(t, "Go", l.Go(func(task Task) error { body(task); return nil }))
		}
		must(t, "Run", g.Run(bg))
	})
}

// A loop that a task ran would hold up the task's own loop, until it ends: Run, and so Serve, is refused there.
func TestRunInTask(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l, other := testLoop(t, name), testLoop(t, name)
		defer other.Close()
		g, err := NewGroup(WithBackend(name))
		must(t, "NewGroup", err)
		defer g.Close()
		err = runLoop(t, l, func(task Task) error {
			bg := context.Background()
			handle := func(Conn) error { return nil }
			for what, call := range map[string]func() error{
				"Loop.Run":  func() error { return other.Run(bg) },
				"Group.Run": func() error { return g.Run(bg) },
				"Serve":     func() error { return Serve(bg, "tcp", "127.0.0.1:0", handle, WithBackend(name)) },
				"Handle":    func() error { return Handle(bg, "tcp", "127.0.0.1:0", handle, WithBackend(name)) },
			} {
				if err := call(); !errors.Is(err, errRunOnLoop) {
					t.Errorf("%s: %v", what, err)
				}
			}
			wantErr(t, "Run of its own loop", l.Run(bg), ErrLoopRunning)
			return Offload(task, func() error { return errors.Join(other.Run(bg), g.Run(bg)) })
		})
		must(t, "Run", err)
	})
}

// On its own loop a shared connection, or listener, does not wait: only the loop could end that.
func TestSharedOnItsLoop(t *testing.T) {
	for where, call := range map[string]func(f func()){"task": func(f func()) { f() }, "coroutine": inCoroutine} {
		t.Run(where, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) { call(func() { refusesToWait(t, task) }) })
			})
		})
	}
}

func refusesToWait(t testing.TB, task Task) {
	shared := sharedListener(t, task)
	_, err := shared.Accept()
	wantOpError(t, "Accept", err, "accept", errOwnLoop)
	must(t, "Close", shared.Close())
	s, c := sharedPair(t, task)
	_, err = s.Read(make([]byte, 1))
	wantOpError(t, "Read", err, "read", errOwnLoop)
	n, err := s.Write(make([]byte, 64<<20))
	wantOpError(t, "Write", err, "write", errOwnLoop)
	if n == 0 {
		t.Error("Write has taken nothing")
	}
	must(t, "Close", s.Close())
	must(t, "Close", c.Close())
}

// Nor does a Write on the loop wait for that of a goroutine, which may be waiting for the loop.
func TestSharedWriteBesideAnother(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			s := c.Shared()
			const size = 1 << 20
			written := make(chan error, 1)
			go func() {
				_, err := s.Write(make([]byte, size))
				written <- err
			}()
			when(t, task, "the Write is under way", func() bool {
				if s.writing.TryLock() {
					s.writing.Unlock()
					return false
				}
				return true
			})
			_, err := s.Write([]byte("x"))
			wantOpError(t, "Write", err, "write", errOwnLoop)
			off(t, task, func() {
				_, err := io.CopyN(io.Discard, peer, size)
				must(t, "the peer's Read", err)
				must(t, "the goroutine's Write", <-written)
			})
			must(t, "Close", s.Close())
		})
	})
}

// A function that runs on the loop does not wait for room among the posted functions.
func TestPostOfEventOnLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for task.Loop().Post(func() {}) == nil {
			}
			wantErr(t, "Post", task.Loop().mustPost(func() {}), ErrPostFull)
		})
	})
}

// Goroutines move between threads, which loops come to and leave; one that runs on none is not taken for a loop's.
func TestLoopsThatComeAndGo(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const loops = 8
		stop := make(chan struct{})
		var asking sync.WaitGroup
		for range 4 {
			asking.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if l, ok := loopHere(); ok {
						t.Errorf("a goroutine of no loop is taken for one of %p", l)
						return
					}
				}
			})
		}
		for range 20 {
			var running sync.WaitGroup
			for range loops {
				running.Go(func() {
					l, err := New(WithBackend(name))
					if err != nil {
						t.Error("New:", err)
						return
					}
					if err := l.Run(context.Background()); err != nil {
						t.Error("Run:", err)
					}
				})
			}
			running.Wait()
		}
		close(stop)
		asking.Wait()
	})
}
