package reactor

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
)

// Coroutines that no task needs any more are given back after a while, though a task still waits and nothing else
// happens. It is tried on all backends at once, since it takes a second or two.
func TestIdleCoroutinesGivenBack(t *testing.T) {
	leavesNothing(t)
	before := runtime.NumGoroutine()
	const tasks = 3 * maxTrim
	ended := make(chan bool)
	results := make(chan error)
	var ends []*Promise[bool]
	for _, d := range own {
		l, err := New(WithBackend(spied + fullName(d)))
		if !testenv.Has(t, fullName(d), err) {
			continue
		}
		end := NewPromise[bool](l)
		ends = append(ends, end)
		must(t, "Go", l.Go(func(task Task) error {
			task.Together(func(g *TaskGroup) error {
				for range tasks {
					g.Go(Task.Yield)
				}
				return nil
			})
			if n := runtime.NumGoroutine(); n < before+tasks {
				t.Errorf("there are only %d goroutines, and nothing to give back", n)
			}
			ended <- true
			_, err := end.Wait(task)
			return err
		}))
		go func() { results <- l.Run(context.Background()) }()
	}
	for range ends {
		<-ended
	}
	for began := time.Now(); runtime.NumGoroutine() > before+10*len(ends); time.Sleep(time.Millisecond) {
		if time.Since(began) > limit {
			t.Errorf("there are %d goroutines, of %d loops:\n%s", runtime.NumGoroutine(), len(ends), stacks())
			break
		}
	}
	for _, end := range ends {
		must(t, "Post", end.Post(true, nil))
		must(t, "Run", <-results)
	}
}

// Only coroutines are ended that were idle for the whole time, and not too many at once.
func TestPoolTrim(t *testing.T) {
	l := &Loop{pool: newPool(), backend: clock{}}
	p, ended := &l.pool, 0
	want := func(when time.Duration, idle int, due time.Duration) {
		t.Helper()
		if p.trim(when); len(p.idle) != idle || p.due != due {
			t.Errorf("at %v: %d are idle, and the next look is at %v; want %d and %v",
				when, len(p.idle), p.due, idle, due)
		}
	}
	put := func(n int) {
		for range n {
			l.put(&coroutine{next: func() (struct{}, bool) { ended++; return struct{}{}, false }})
		}
	}
	put(10) // at 0
	want(idleFor-1, 10, idleFor)
	want(idleFor, 10, 2*idleFor) // some of them may be new
	for range 4 {
		p.get()
	}
	put(3)
	want(2*idleFor, 3, 3*idleFor) // 6 of 9 were not needed
	want(3*idleFor, 0, backend.Forever)
	put(maxTrim + 5)
	want(idleFor, maxTrim+5, 2*idleFor)
	want(2*idleFor, 5, 2*idleFor)
	want(2*idleFor, 0, backend.Forever)
	if ended != 9+maxTrim+5 {
		t.Errorf("%d coroutines were ended", ended)
	}
}

// clock is a backend that knows the time, which is 0, and nothing else.
type clock struct{ backend.Backend }

func (clock) Now() time.Duration { return 0 }
