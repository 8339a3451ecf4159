package reactor

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
)

// A sleep is never shorter than asked for.
func TestSleepIsNotShorter(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, d := range []time.Duration{1, time.Microsecond, 10 * time.Microsecond, 300 * time.Microsecond,
				time.Millisecond, 1500 * time.Microsecond, 3 * time.Millisecond} {
				for range 3 {
					began := time.Now()
					must(t, "Sleep", task.Sleep(d))
					if took := time.Since(began); took < d {
						t.Errorf("Sleep(%v) took %v", d, took)
					}
				}
			}
		})
	})
}

// One that is not positive lets others run, and that is all.
func TestSleepOfNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, d := range []time.Duration{0, -1, math.MinInt64} {
				others := 0
				task.Go(func(Task) error { others++; return nil })
				must(t, "Sleep", task.Sleep(d))
				if others != 1 {
					t.Errorf("Sleep(%v) let no other run", d)
				}
			}
			must(t, "Await", task.Await(&event.Sleep{}))
		})
	})
}

// Those who sleep wake up in the order of their times, and of two with one time the one first that slept first.
func TestSleepersWakeInOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		type sleeper struct {
			at  time.Duration
			seq int
		}
		var got []sleeper
		random := rand.New(rand.NewPCG(1, 2))
		run(t, name, func(task Task) {
			began := spyOn(task.Loop()).Now() + 2*time.Millisecond
			for seq := range 1000 {
				at := began + time.Duration(random.IntN(300))*10*time.Microsecond
				task.Go(func(task Task) error {
					wantErr(t, "Await", task.Await(timerEvent(at)), ErrDeadline)
					got = append(got, sleeper{at, seq})
					return nil
				})
			}
		})
		if len(got) != 1000 || !slices.IsSortedFunc(got, func(a, b sleeper) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq))
		}) {
			t.Errorf("%d of 1000 woke up, in the order %v", len(got), got)
		}
	})
}

// timerEvent is over, with ErrDeadline, at a time of the loop's clock.
func timerEvent(at time.Duration) event.Event {
	return &testEvent{
		register: func(r event.Reactor) error { r.Timer(at); return nil },
		resume:   func(_ event.Reactor, c *backend.Completion) (bool, error) { return true, c.Err },
	}
}

// The longest sleep there is does not wrap around to none.
func TestSleepForever(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, d := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, 1 << 62} {
				sleeper := task.Go(func(task Task) error {
					wantErr(t, "Sleep", task.Sleep(d), ErrCanceled)
					return nil
				})
				must(t, "Sleep", task.Sleep(2*time.Millisecond))
				if sleeper.Done() {
					t.Errorf("Sleep(%d) is over", d)
				}
				sleeper.Cancel()
				must(t, "Yield", task.Yield())
			}
		})
	})
}

// A canceled sleep ends at once, and so does every later one.
func TestSleepCanceled(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			sleeper := task.Go(func(task Task) error {
				for range 3 {
					wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled)
					wantErr(t, "Yield", task.Yield(), ErrCanceled)
				}
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			sleeper.Cancel()
			sleeper.Cancel()
			when(t, task, "it has ended", sleeper.Done)
			sleeper.Cancel() // names nobody any more

			early := task.Go(func(task Task) error {
				wantErr(t, "Sleep of a task canceled before it began", task.Sleep(time.Hour), ErrCanceled)
				return nil
			})
			early.Cancel()
			when(t, task, "that has ended", early.Done)
		})
	})
}

// A task may cancel itself.
func TestTaskCancelsItself(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			if task.Done() {
				t.Error("a task that runs is done")
			}
			task.Cancel()
			wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled)
		})
	})
}

// A handle on a task that has ended names no other, though its memory is used again.
func TestTaskHandlesGoStale(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			old := task.Go(func(Task) error { return nil })
			must(t, "Yield", task.Yield())
			if !old.Done() {
				t.Fatal("it has not ended")
			}
			slept := false
			other := task.Go(func(task Task) error {
				must(t, "Sleep", task.Sleep(time.Millisecond))
				slept = true
				return nil
			})
			if other.t != old.t {
				t.Fatal("the memory is not used again")
			}
			must(t, "Yield", task.Yield())
			old.Cancel()
			if other.Done() || !old.Done() {
				t.Error("one handle is taken for the other")
			}
			when(t, task, "it has ended", other.Done)
			if !slept {
				t.Error("a stale handle has canceled another task")
			}
		})
	})
}
