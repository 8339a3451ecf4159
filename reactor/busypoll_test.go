package reactor

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
)

// spins are how long a loop may spin: so long that it never blocks in a test, and so short that it begins to just when
// something comes.
var spins = []time.Duration{time.Hour, 100 * time.Microsecond}

// pauses are from none to twice the shorter spin: n of them where the loop blocks in between, and few where it never
// does, for then the test waits for its processor.
func pauses(spin time.Duration, n int) []time.Duration {
	if spin == time.Hour {
		n /= 10
	}
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = rand.N(2 * spins[1])
		if i%10 == 2 {
			list[i] = time.Duration(i%20/10) * time.Millisecond
		}
	}
	return list
}

// nap is time.Sleep, precise to some microseconds.
func nap(d time.Duration) {
	if d > time.Millisecond {
		time.Sleep(d)
		return
	}
	for began := time.Now(); time.Since(began) < d; {
	}
}

// What is posted is run, whether the loop spins, is just done with that, or blocks.
func TestBusyPollPost(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, d := range spins {
			l := testLoop(t, name, WithBusyPoll(d))
			err := runLoop(t, l, func(task Task) error {
				off(t, task, func() {
					ran := make(chan bool)
					for _, pause := range pauses(d, 200) {
						nap(pause)
						must(t, "Post", l.Post(func() { ran <- true }))
						<-ran
					}
				})
				return nil
			})
			must(t, "Run", err)
		}
	})
}

// Timers expire, no earlier than they should, whether they are shorter than the spin or longer.
func TestBusyPollTimers(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, d := range spins {
			l := testLoop(t, name, WithBusyPoll(d))
			err := runLoop(t, l, func(task Task) error {
				for _, pause := range pauses(d, 100) {
					began := l.backend.Now()
					must(t, "Sleep", task.Sleep(pause))
					if passed := l.backend.Now() - began; passed < pause {
						t.Errorf("Sleep(%v) has taken %v", pause, passed)
					}
				}
				return nil
			})
			must(t, "Run", err)
		}
	})
}

// What comes from the network is seen, by a loop that spins and by one that blocks.
func TestBusyPollInput(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			for _, d := range spins {
				s := start(t, name, serve, echoOnceOr(form, echo), WithBusyPoll(d))
				c := s.dial(t)
				for _, pause := range pauses(d, 100) {
					nap(pause)
					ask(t, c, "ping")
				}
				must(t, form, s.stop(t))
			}
		}
	})
}

// The end of the context is seen, and ends tasks and Run, at whatever time it comes.
func TestBusyPollContextEnds(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		cause := errors.New("enough")
		for _, d := range spins {
			for _, pause := range pauses(d, 30) {
				ctx, cancel := context.WithCancelCause(context.Background())
				l := testLoop(t, name, WithBusyPoll(d))
				begun := make(chan bool)
				must(t, "Go", l.Go(func(task Task) error {
					close(begun)
					wantErr(t, "Await", task.Await(hold{}), ErrCanceled)
					return nil
				}))
				go func() {
					<-begun
					nap(pause)
					cancel(cause)
				}()
				wantErr(t, "Run", runUntil(t, l, ctx), cause)
			}
		}
	})
}

// hold is an event that nothing ends.
type hold struct{}

func (hold) Register(r event.Reactor) error                          { r.Hold(); return nil }
func (hold) Resume(event.Reactor, *backend.Completion) (bool, error) { return false, nil }

// The end of a group is seen by the loops that rest, and so is what others give them.
func TestBusyPollGroup(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, d := range spins {
			for _, pause := range pauses(d, 30) {
				g := testGroup(t, name, 2, WithBusyPoll(d))
				ran := false
				must(t, "Go", g.loops[0].Go(func(task Task) error {
					nap(pause)
					must(t, "Go", g.loops[1].Go(func(task Task) error { ran = true; return task.Yield() }))
					nap(pause)
					return nil
				}))
				must(t, "Run", runGroup(t, g, context.Background()))
				if !ran {
					t.Error("the other loop's task did not run")
				}
			}
		}
	})
}

// stolen is a backend whose Poll takes, once, the wake-up of what comes between it and the loop's next look.
type stolen struct {
	backend.Backend
	armed func() bool
	come  func()
}

func (s *stolen) Poll(dst []backend.Completion, until time.Duration) (int, error) {
	n, err := s.Backend.Poll(dst, until)
	if until == 0 && n == 0 && err == nil && s.armed() {
		s.armed = func() bool { return false }
		s.come()
		_, err = s.Backend.Poll(nil, 0)
	}
	return n, err
}

// Any Poll of a spin, the last one too, may take a wake-up. What it was for is not lost.
func TestBusyPollTakesTheWake(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, what := range []string{"Post", "context", "group"} {
			g := testGroup(t, name, 2, WithBusyPoll(time.Nanosecond))
			l, other := g.loops[0], g.loops[1]
			ctx, cancel := context.WithCancel(context.Background())
			waits, hasCome := false, false
			var ready event.Reactor
			release := make(chan bool)
			s := &stolen{Backend: l.backend, armed: func() bool { return waits }}
			l.backend = s
			if what == "group" {
				s.armed = l.resting.Load
			} else {
				must(t, "Go", l.Go(func(task Task) error {
					return task.Await(&testEvent{register: func(r event.Reactor) error {
						r.Hold()
						waits, ready = true, r
						return nil
					}})
				}))
			}
			must(t, "Go", other.Go(func(task Task) error {
				return task.Await(&testEvent{register: func(r event.Reactor) error {
					r.Hold()
					go func() {
						<-release
						other.Post(func() { r.Ready(nil) })
					}()
					return nil
				}})
			}))
			s.come = func() {
				hasCome = true
				switch what {
				case "Post":
					must(t, "Post", l.Post(func() { ready.Ready(nil); close(release) }))
				case "context":
					cancel()
					defer close(release)
					if !eventually(func() bool { return other.state.Load() == ended && l.quit.Load() != nil }) {
						t.Error("the loops are not told")
					}
				case "group":
					close(release)
					if !eventually(func() bool { return other.state.Load() == ended }) {
						t.Error("the other loop does not end")
					}
				}
			}
			err := runGroup(t, g, ctx)
			if what == "context" {
				wantErr(t, "Run", err, context.Canceled)
			} else {
				must(t, "Run", err)
			}
			if !hasCome {
				t.Errorf("%s: the loop did not spin", what)
			}
			cancel()
		}
	})
}

// A loop blocks once it has spun for as long as it may: not at all without WithBusyPoll, and not before with it.
func TestBusyPollBlocks(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, d := range []time.Duration{0, time.Millisecond, time.Hour} {
			l := testLoop(t, name, WithBusyPoll(d))
			err := runLoop(t, l, func(task Task) error {
				must(t, "Sleep", task.Sleep(time.Millisecond)) // whatever is done once is done then
				before := l.Stats()
				var turns, waits, polls uint64
				came := func(naps int, ok func() bool) bool { // a busy machine may take the time of a nap or two
					for n := 0; n < naps || !ok() && n < 1000; n++ {
						must(t, "Sleep", task.Sleep(3*time.Millisecond))
						after := l.Stats()
						turns = after.Turns - before.Turns
						waits, polls = after.Backend.Waits-before.Backend.Waits, after.Backend.Polls-before.Backend.Polls
					}
					return ok()
				}
				switch d {
				case 0:
					if !came(3, func() bool { return waits >= 3 }) || polls > turns {
						t.Errorf("without a spin it has blocked %d times, with %d polls in %d turns", waits, polls, turns)
					}
				case time.Hour:
					if !came(3, func() bool { return polls > 2*turns }) || waits > 0 {
						t.Errorf("it has blocked %d times, with %d polls in %d turns, though it might spin", waits, polls, turns)
					}
				default:
					if !came(3, func() bool { return waits >= 3 && polls > 2*turns }) {
						t.Errorf("with a spin of %v it has blocked %d times, with %d polls in %d turns", d, waits, polls, turns)
					}
				}
				return nil
			})
			must(t, "Run", err)
		}
	})
}
