package reactor

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/eyewall/eyewall/internal/testenv"
)

// memory is what the process uses once garbage, the stacks of coroutines that have ended included, is collected.
func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// parks are how a task may wait.
var parks = map[string]func(t testing.TB, task Task) func(Task) error{
	"Sleep": func(testing.TB, Task) func(Task) error {
		return func(task Task) error { return task.Sleep(time.Hour) }
	},
	"Next": func(t testing.TB, task Task) func(Task) error {
		var conns [50]Conn // since those that wait for one are a list
		for i := range conns {
			conns[i], _ = pair(t, task)
		}
		n := 0
		return func(Task) error {
			n++
			_, err := conns[n%len(conns)].Next()
			return err
		}
	},
}

// footprint is the bytes of stack and of heap that a task takes which waits, for n of them. As many wait already: Go
// begins a stack at what those that there are use on average, and few others tell little of those of a server. What it
// keeps of a goroutine for ever, some 480 bytes, is not counted.
func footprint(task Task, fn func(Task) error, n int) (stack, heap float64) {
	var wg sync.WaitGroup
	end := make(chan bool)
	for range 2 * n {
		wg.Go(func() { <-end })
	}
	close(end)
	wg.Wait()
	memory()
	list := make([]Task, 0, 2*n)
	begin := func() {
		for range n {
			list = append(list, task.Go(fn))
		}
		task.Yield()
	}
	begin()
	before := memory()
	begin()
	after := memory()
	for _, t := range list {
		t.Cancel()
	}
	for task.Loop().live > 1 {
		task.Sleep(time.Millisecond)
	}
	l := task.Loop()
	l.pool.drop() // so that the next call has to make its own
	l.spare, l.waiters = nil, nil
	diff := func(a, b uint64) float64 { return float64(int64(a-b)) / float64(n) }
	return diff(after.StackInuse, before.StackInuse), diff(after.HeapAlloc, before.HeapAlloc)
}

// A task that waits fits Go's smallest stack, of 2 KiB. What it takes in all is a figure that README gives.
func TestParkedTaskIsSmall(t *testing.T) {
	undebugged(t)
	if testenv.Race {
		return // its frames are larger
	}
	eachDriver(t, func(t *testing.T, name string) {
		for what, park := range parks {
			run(t, name, func(task Task) {
				stack, heap := footprint(task, park(t, task), 4000)
				t.Logf("%s: %.0f bytes of stack and %.0f of heap for each task", what, stack, heap)
				if stack < 1000 || stack > 2200 {
					t.Errorf("%s: %.0f bytes of stack for each task", what, stack)
				}
				if heap > 600 {
					t.Errorf("%s: %.0f bytes of heap for each task", what, heap)
				}
			})
		}
	})
}
