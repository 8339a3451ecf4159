package reactor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
)

// testEvent is an event made of functions.
type testEvent struct {
	register func(event.Reactor) error
	resume   func(event.Reactor, *backend.Completion) (bool, error)
}

func (e *testEvent) Register(r event.Reactor) error { return e.register(r) }

func (e *testEvent) Resume(r event.Reactor, c *backend.Completion) (bool, error) {
	return e.resume(r, c)
}

// What cannot be waited for is an error that says what was given.
func TestAwaitNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var read *event.Read
			nothing := func(event.Reactor) error { return nil }
			for _, c := range []struct {
				ev   event.Event
				want string
			}{
				{nil, "nil event"},
				{read, "*event.Read"},
				{(*testEvent)(nil), "*reactor.testEvent"},
				{&testEvent{register: nothing}, "*reactor.testEvent waits for nothing"},
				{idle{}, "reactor.idle waits for nothing"},
			} {
				err := task.Await(c.ev)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Await(%T): error %v, which should tell %q", c.ev, err, c.want)
				}
			}
		})
	})
}

// idle is an event that waits for nothing.
type idle struct{}

func (idle) Register(event.Reactor) error                            { return nil }
func (idle) Resume(event.Reactor, *backend.Completion) (bool, error) { return false, nil }

// An event that stops waiting for anything, without being over, is the same error.
func TestAwaitRunsOutOfWork(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			err := task.Await(&testEvent{
				register: func(r event.Reactor) error { r.Timer(r.Now() + 1); return nil },
				resume:   func(event.Reactor, *backend.Completion) (bool, error) { return false, nil },
			})
			if err == nil || !strings.Contains(err.Error(), "waits for nothing") {
				t.Errorf("Await: %v", err)
			}
		})
	})
}

// Only the task that runs can wait.
func TestAwaitByOthers(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ended := task.Go(func(Task) error { return nil })
			must(t, "Yield", task.Yield())
			waiting := task.Go(func(Task) error { return nil })
			for what, other := range map[string]Task{"the zero Task": {}, "an ended one": ended, "one that waits": waiting} {
				wantErr(t, "Await by "+what, other.Await(&event.Sleep{For: time.Hour}), ErrNotTask)
				wantErr(t, "Sleep by "+what, other.Sleep(time.Hour), ErrNotTask)
				wantErr(t, "Yield by "+what, other.Yield(), ErrNotTask)
				_, err := Listen(other, "tcp", "127.0.0.1:0")
				wantErr(t, "Listen by "+what, err, ErrNotTask)
				_, err = Dial(other, "tcp", "127.0.0.1:1")
				wantErr(t, "Dial by "+what, err, ErrNotTask)
				_, err = Dial(other, "tcp", "localhost:1")
				wantErr(t, "Dial of a name by "+what, err, ErrNotTask)
			}
			for what, c := range map[string]struct {
				other Task
				text  string
			}{
				"the zero Task": {Task{}, "the zero Task cannot wait"},
				"an ended one":  {ended, "a task that has ended cannot wait"},
				"another one":   {task.Go(func(Task) error { return nil }), "was asked to wait by another one"},
			} {
				if err := c.other.Yield(); !strings.Contains(err.Error(), c.text) {
					t.Errorf("Yield by %s: %v", what, err)
				}
			}
			var zero Task
			if !zero.Done() {
				t.Error("the zero Task is not done")
			}
			zero.Cancel()
			must(t, "Post", task.Loop().Post(func() {
				wantErr(t, "Await by a posted function", task.Await(&event.Sleep{}), ErrNotTask)
			}))
		})
	})
}

// Ready may come from Register, with an error or without.
func TestReadyInRegister(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			trouble := errors.New("trouble")
			for _, want := range []error{nil, trouble} {
				others := 0
				task.Go(func(Task) error { others++; return nil })
				err := task.Await(&testEvent{register: func(r event.Reactor) error {
					r.Ready(want)
					r.Ready(errors.New("too late"))
					r.Timer(r.Now()) // never comes
					return nil
				}})
				if err != want {
					t.Errorf("Await: %v, want %v", err, want)
				}
				if others != 1 {
					t.Error("no other task has run meanwhile")
				}
			}
		})
	})
}

// After Hold, Ready may come from whatever runs on the loop, from a posted function for example.
func TestHoldAndReady(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			trouble := errors.New("trouble")
			l := task.Loop()
			err := task.Await(&testEvent{register: func(r event.Reactor) error {
				r.Hold()
				go func() {
					time.Sleep(time.Millisecond)
					must(t, "Post", l.Post(func() { r.Ready(trouble) }))
					must(t, "Post", l.Post(func() { r.Ready(nil) })) // after Await perhaps, and naming nobody then
				}()
				return nil
			}})
			if err != trouble {
				t.Errorf("Await: %v", err)
			}
			// The second Ready reaches none of these, though they come after the same task.
			for range 20 {
				began := time.Now()
				must(t, "Sleep", task.Sleep(100*time.Microsecond))
				if took := time.Since(began); took < 100*time.Microsecond {
					t.Errorf("a sleep of 100µs took %v", took)
				}
			}
		})
	})
}

// An event may wait for several operations: the first to complete ends it, the others are canceled and joined, and what
// they bring all the same is handed over.
func TestAwaitFirstOfSeveral(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			const pipes = 10
			var r, w [pipes]int
			for i := range pipes {
				r[i], w[i] = newPipe(t)
			}
			for first := range pipes {
				if _, err := unix.Write(w[first], []byte{byte(first)}); err != nil {
					t.Errorf("write: %v", err)
				}
				tokens := map[backend.Token]int{}
				var bufs [pipes][1]byte
				var ended []int
				err := task.Await(&testEvent{
					register: func(e event.Reactor) error {
						for i := range pipes {
							tokens[e.Submit(backend.Op{Kind: backend.Read, FD: r[i], Buf: bufs[i][:]})] = i
						}
						return nil
					},
					resume: func(_ event.Reactor, c *backend.Completion) (bool, error) {
						i := tokens[c.Token]
						ended = append(ended, i)
						if i == first {
							if c.Err != nil || c.N != 1 || bufs[i][0] != byte(first) {
								t.Errorf("read %d bytes, %v", c.N, c.Err)
							}
						} else {
							wantErr(t, "another one", c.Err, ErrCanceled)
						}
						return true, c.Err
					},
				})
				if err != nil {
					t.Errorf("Await: %v", err)
				}
				if len(ended) != pipes || ended[0] != first {
					t.Errorf("these have ended when Await returns, in order: %v", ended)
				}
			}
			closeFDs(task, r[:]...)
			closeFDs(task, w[:]...)
		})
	})
}

// Two that complete at once are both handed over, with what they bring: here connections and lent buffers.
func TestAwaitBringsEverything(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			c, d := pair(t, task)
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			e, err := Dial(task, "tcp", ln.Addr().String())
			must(t, "Dial", err)
			b.Write([]byte("one"))
			d.Write([]byte("two"))
			must(t, "Flush", b.Flush())
			must(t, "Flush", d.Flush())

			got, accepted := "", -1
			tokens := map[backend.Token]backend.Kind{}
			err = task.Await(&testEvent{
				register: func(r event.Reactor) error {
					tokens[r.Submit(backend.Op{Kind: backend.Recv, FD: a.FD()})] = backend.Recv
					tokens[r.Submit(backend.Op{Kind: backend.Recv, FD: c.FD()})] = backend.Recv
					tokens[r.Submit(backend.Op{Kind: backend.Accept, FD: ln.FD()})] = backend.Accept
					return nil
				},
				resume: func(r event.Reactor, c *backend.Completion) (bool, error) {
					switch {
					case c.Err != nil:
						wantErr(t, "an operation", c.Err, ErrCanceled)
					case tokens[c.Token] == backend.Accept:
						accepted = c.N
					default:
						got += string(c.Data)
						r.Release(c.Lease)
					}
					return true, nil
				},
			})
			must(t, "Await", err)
			if accepted >= 0 {
				must(t, "Close", task.Await(&event.Close{FD: accepted}))
			}
			// What did not come with it is still there.
			for _, c := range []Conn{a, c} {
				if !strings.Contains(got, "one") && c == a || !strings.Contains(got, "two") && c != a {
					data, err := c.Next()
					must(t, "Next", err)
					got += string(data)
				}
			}
			if got != "onetwo" && got != "twoone" {
				t.Errorf("got %q", got)
			}
			if accepted < 0 {
				c, err := ln.AcceptConn()
				must(t, "Accept", err)
				must(t, "Close", c.Close())
			}
			for _, c := range []Conn{a, b, c, d, e} {
				must(t, "Close", c.Close())
			}
			must(t, "Close", ln.Close())
		})
	})
}

// An error of Register ends the wait, after what it had submitted.
func TestRegisterFails(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			trouble := errors.New("trouble")
			ended := 0
			err := task.Await(&testEvent{
				register: func(e event.Reactor) error {
					e.Timer(e.Now() + time.Hour)
					for range 6 {
						e.Submit(backend.Op{Kind: backend.Read, FD: r, Buf: make([]byte, 1)})
					}
					return trouble
				},
				resume: func(_ event.Reactor, c *backend.Completion) (bool, error) {
					wantErr(t, "the read", c.Err, ErrCanceled)
					ended++
					return true, c.Err
				},
			})
			if err != trouble {
				t.Errorf("Await: %v", err)
			}
			if ended != 6 {
				t.Errorf("%d of 6 reads had ended when Await returned", ended)
			}
			closeFDs(task, r, w)
		})
	})
}

// An event that submits again, though it is canceled or over, does not go on for ever. What it submits then to clean
// up, a Close, is carried out.
func TestEventThatSubmitsAgain(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			q, z := newPipe(t)
			completions, closed := 0, false
			event := func(over bool) *testEvent {
				var closing backend.Token
				read := backend.Op{Kind: backend.Read, FD: r, Buf: make([]byte, 1)}
				return &testEvent{
					register: func(e event.Reactor) error { e.Submit(read); e.Timer(e.Now() + time.Millisecond); return nil },
					resume: func(e event.Reactor, c *backend.Completion) (bool, error) {
						completions++
						switch {
						case c.Token == 0:
							return over, nil
						case c.Token == closing:
							closed = true
							return false, c.Err
						case closing == 0 && !closed:
							closing = e.Submit(backend.Op{Kind: backend.Close, FD: q})
						}
						e.Submit(read)
						return false, nil
					},
				}
			}
			// The timer ends this one.
			must(t, "Await", task.Await(event(true)))
			if !closed {
				t.Error("Await returned before the Close had ended")
			}
			// And a cancellation this one.
			canceled := task.Go(func(task Task) error {
				wantErr(t, "Await", task.Await(event(false)), ErrCanceled)
				return nil
			})
			must(t, "Sleep", task.Sleep(2*time.Millisecond))
			canceled.Cancel()
			when(t, task, "it has ended", canceled.Done)
			if completions > 20 {
				t.Errorf("%d completions came", completions)
			}
			closeFDs(task, r, w, z)
		})
	})
}

// A canceled event that has a real result already keeps it.
func TestResultBeatsCancel(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			read := &event.ReadInto{FD: r, Buf: make([]byte, 10)}
			reader := task.Go(func(task Task) error {
				if err := task.Await(read); err != nil || read.N != 3 {
					t.Errorf("read %d bytes, %v; they were there before the cancellation", read.N, err)
				}
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			if _, err := unix.Write(w, []byte("abc")); err != nil {
				t.Errorf("write: %v", err)
			}
			reader.Cancel()
			when(t, task, "it has ended", reader.Done)
			closeFDs(task, r, w)
		})
	})
}

// The timer may be moved, and used again after it has expired; a wait that is over leaves none behind.
func TestEventTimer(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ticks := 0
			began := time.Now()
			err := task.Await(&testEvent{
				register: func(r event.Reactor) error {
					r.Timer(r.Now() + time.Hour)
					r.Timer(r.Now() + 300*time.Microsecond)
					return nil
				},
				resume: func(r event.Reactor, c *backend.Completion) (bool, error) {
					if c.Token != 0 || c.Err != ErrDeadline {
						t.Errorf("a timer completes with %+v", c)
					}
					ticks++
					r.Timer(r.Now() + 300*time.Microsecond)
					return ticks == 5, nil
				},
			})
			must(t, "Await", err)
			if took := time.Since(began); ticks != 5 || took < 1500*time.Microsecond {
				t.Errorf("%d ticks in %v", ticks, took)
			}
			if n := task.Loop().timers.Len(); n != 0 {
				t.Errorf("%d timers are left", n)
			}
		})
	})
}

// A timer that is always due starves nobody.
func TestTimerAlwaysDue(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			stop := false
			ticker := task.Go(func(task Task) error {
				return task.Await(&testEvent{
					register: func(r event.Reactor) error { r.Timer(1); return nil },
					resume: func(r event.Reactor, _ *backend.Completion) (bool, error) {
						r.Timer(1)
						return stop, nil
					},
				})
			})
			a, b := pair(t, task)
			for range 10 {
				a.Write([]byte("ping"))
				if _, err := b.Next(); err != nil {
					t.Errorf("Next: %v", err)
				}
			}
			stop = true
			when(t, task, "it has ended", ticker.Done)
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// An event is used again as soon as its wait is over, by another task even.
func TestEventIsUsedAgain(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			sleep := &event.Sleep{For: 10 * time.Microsecond}
			for range 10 {
				must(t, "Await", task.Await(sleep))
			}
			other := task.Go(func(task Task) error { return task.Await(sleep) })
			when(t, task, "it has ended", other.Done)
		})
	})
}
