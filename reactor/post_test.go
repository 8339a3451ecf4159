package reactor

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eyewall/eyewall/event"
)

// Functions of one goroutine are called in their order, whatever others post meanwhile.
func TestPostKeepsOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const goroutines, each = 8, 2000
		l := testLoop(t, name)
		var got [goroutines][]int
		total := 0
		err := runLoop(t, l, func(task Task) error {
			for g := range goroutines {
				go func() {
					for i := range each {
						for l.Post(func() { got[g] = append(got[g], i); total++ }) == ErrPostFull {
							time.Sleep(time.Millisecond)
						}
					}
				}()
			}
			when(t, task, "all were called", func() bool { return total == goroutines*each })
			return nil
		})
		must(t, "Run", err)
		for g := range got {
			if len(got[g]) != each || !slices.IsSorted(got[g]) {
				t.Errorf("goroutine %d: %d of %d functions were called, sorted: %v", g, len(got[g]), each, slices.IsSorted(got[g]))
			}
		}
	})
}

// No more than maxPosts wait; the one beyond is refused and never called, and those before are called all the same.
func TestPostIsBounded(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		called, accepted := 0, 0
		l := testLoop(t, name)
		err := runLoop(t, l, func(task Task) error {
			for range 2 {
				for {
					err := l.Post(func() { called++ })
					if err != nil {
						wantErr(t, "Post", err, ErrPostFull)
						wantErr(t, "Go", l.Go(func(Task) error { t.Error("it ran though refused"); return nil }), ErrPostFull)
						break
					}
					accepted++
				}
				if want := called + maxPosts; accepted != want {
					t.Errorf("%d posts were accepted, want %d", accepted, want)
				}
				when(t, task, "they were called", func() bool { return called == accepted })
			}
			return nil
		})
		must(t, "Run", err)
	})
}

// While the loop is at work a post wakes nobody, and many of them wake it once when it sleeps.
func TestPostWakesOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		s := spyOn(l)
		var wakes, polls int
		count := func() (w, p int) {
			s.counts(func() { w, p = s.wakes, s.polls })
			return w - wakes, p - polls
		}
		err := runLoop(t, l, func(task Task) error {
			wakes, polls = count()
			called := 0
			off := make(chan bool)
			go func() {
				for range 1000 {
					l.Post(func() { called++ })
				}
				off <- true
			}()
			<-off // the loop stands here meanwhile
			if w, _ := count(); w != 0 {
				t.Errorf("%d wakes of a loop that is at work", w)
			}
			when(t, task, "all were called", func() bool { return called == 1000 })

			wakes, polls = 0, 0
			wakes, polls = count()
			err := task.Await(&testEvent{register: func(r event.Reactor) error { // the loop sleeps, until it is woken
				r.Hold()
				go func() {
					for !l.posts.sleeping.Load() {
						runtime.Gosched()
					}
					for range 1000 {
						l.Post(func() {
							if called++; called == 2000 {
								r.Ready(nil)
							}
						})
					}
				}()
				return nil
			}})
			must(t, "Await", err)
			if w, p := count(); w == 0 || w > p+1 {
				t.Errorf("%d wakes in %d turns", w, p)
			}
			return nil
		})
		must(t, "Run", err)
	})
}

// Whatever way a loop ends: what Post took is called, and what it refused is not.
func TestPostAroundTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ends := []func(Task, context.CancelFunc) error{
			func(Task, context.CancelFunc) error { return nil },
			func(_ Task, cancel context.CancelFunc) error { cancel(); return nil },
			func(Task, context.CancelFunc) error { panic("end") },
			func(task Task, _ context.CancelFunc) error {
				for task.Loop().Post(func() { panic("end") }) == ErrPostFull {
					task.Yield()
				}
				return nil
			},
		}
		for i := range 4 * len(ends) {
			ctx, cancel := context.WithCancel(context.Background())
			l := testLoop(t, name)
			var accepted atomic.Int64
			var called int64
			must(t, "Go", l.Go(func(task Task) error {
				task.Sleep(time.Duration(i) * 50 * time.Microsecond)
				return ends[i%len(ends)](task, cancel)
			}))
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for n := 0; i%len(ends) > 0 || n < 20_000; n++ { // a loop that is not made to end goes on with posts
						switch err := l.Post(func() { called++ }); err {
						case nil:
							accepted.Add(1)
						case ErrLoopEnded:
							return
						default:
							time.Sleep(10 * time.Microsecond)
						}
					}
				})
			}
			err := runUntil(t, l, ctx)
			wg.Wait()
			cancel()
			var p *PanicError
			if err != nil && err != context.Canceled && !errors.As(err, &p) {
				t.Errorf("Run: %v", err)
			}
			if called != accepted.Load() {
				t.Errorf("end %d: %d posts were taken, and %d called", i%len(ends), accepted.Load(), called)
			}
		}
	})
}

// What is posted before Run, Go included, runs with it, in order.
func TestPostBeforeRun(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		var got []int
		for i := range 600 {
			if i%2 == 0 {
				must(t, "Post", l.Post(func() { got = append(got, i) }))
			} else {
				must(t, "Go", l.Go(func(Task) error { return nil }))
			}
		}
		must(t, "Run", runUntil(t, l, context.Background()))
		if len(got) != 300 || !slices.IsSorted(got) {
			t.Errorf("%d of 300 were called: %v", len(got), got)
		}
	})
}

// A task and a posted function may post, too; what keeps posting itself holds up nobody.
func TestPostFromTheLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		err := runLoop(t, l, func(task Task) error {
			stop, rounds := false, 0
			var again func()
			again = func() {
				rounds++
				if !stop {
					must(t, "Post", l.Post(again))
				}
			}
			must(t, "Post", l.Post(again))
			a, b := pair(t, task)
			defer a.Close()
			defer b.Close()
			for range 10 {
				a.Write([]byte("ping"))
				if _, err := b.Next(); err != nil {
					t.Errorf("Next: %v", err)
				}
				must(t, "Sleep", task.Sleep(10*time.Microsecond))
			}
			if rounds < 10 {
				t.Errorf("the posted function was called %d times meanwhile", rounds)
			}
			stop = true
			return nil
		})
		must(t, "Run", err)
	})
}

// Go starts tasks from anywhere while the loop runs, and asleep it wakes up for that.
func TestGoFromOtherGoroutines(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const goroutines, each = 4, 100
		l := testLoop(t, name)
		ran := 0
		err := runLoop(t, l, func(task Task) error {
			for range goroutines {
				go func() {
					for range each {
						time.Sleep(10 * time.Microsecond)
						must(t, "Go", l.Go(func(task Task) error { ran++; return task.Yield() }))
					}
				}()
			}
			when(t, task, "all ran", func() bool { return ran == goroutines*each })
			return nil
		})
		must(t, "Run", err)
	})
}

// What is posted without end holds up no loop that is to end: sooner or later it is refused.
func TestPostWithoutEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancelCause(context.Background())
		l := testLoop(t, name)
		called, accepted := 0, 0
		var again func()
		again = func() {
			called++
			for range 2 {
				switch err := l.Post(again); err {
				case nil:
					accepted++
				case ErrPostFull:
				default:
					wantErr(t, "Post", err, ErrLoopEnded)
				}
			}
		}
		must(t, "Go", l.Go(func(task Task) error {
			accepted++
			must(t, "Post", l.Post(again))
			must(t, "Sleep", task.Sleep(time.Millisecond))
			cancel(errCause)
			return nil
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), errCause)
		if called != accepted {
			t.Errorf("%d posts were taken, and %d called", accepted, called)
		}
	})
}
