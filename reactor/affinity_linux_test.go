package reactor

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpusOf are the processors that a thread may run on; 0 is the one that calls.
func cpusOf(t testing.TB, thread int) (list []int) {
	t.Helper()
	var set unix.CPUSet
	must(t, "sched_getaffinity", unix.SchedGetaffinity(thread, &set))
	for cpu := range maxCPUs {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list
}

// boundThreads are those of this process that may not run on all of these processors.
func boundThreads(t testing.TB, all []int) (list []int) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	must(t, "ReadDir", err)
	for _, e := range threads {
		id, _ := strconv.Atoi(e.Name())
		if comm, _ := os.ReadFile("/proc/self/task/" + e.Name() + "/comm"); strings.HasPrefix(string(comm), "iou-") {
			continue // the kernel's
		}
		var set unix.CPUSet
		if unix.SchedGetaffinity(id, &set) == nil && set.Count() < len(all) { // unless it has ended
			list = append(list, id)
		}
	}
	return list
}

// Each loop's thread runs where it should, from the first processor again after the last, and no other thread is bound;
// after Run none is.
func TestWithCPUs(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const loops = 5
		all := cpusOf(t, 0)
		last := all[len(all)-1]
		for _, cpus := range [][]int{nil, {all[0]}, {last, all[0]}, {all[0], all[0], last}} {
			g := testGroup(t, name, loops, WithCPUs(cpus...))
			var mu sync.Mutex
			var threads []int
			var looked atomic.Int32
			for i, l := range g.loops {
				want := all[i%len(all)]
				if cpus != nil {
					want = cpus[i%len(cpus)]
				}
				must(t, "Go", l.Go(func(task Task) error {
					for range 3 {
						if got := cpusOf(t, 0); !slices.Equal(got, []int{want}) {
							t.Errorf("WithCPUs%v: loop %d runs on %v, want %d", cpus, i, got, want)
						}
						must(t, "Sleep", task.Sleep(time.Millisecond))
					}
					mu.Lock()
					threads = append(threads, unix.Gettid())
					mu.Unlock()
					when(t, task, "all loops run", func() bool {
						mu.Lock()
						defer mu.Unlock()
						return len(threads) == loops
					})
					if bound := boundThreads(t, all); i == 0 && len(all) > 1 {
						slices.Sort(bound)
						slices.Sort(threads)
						if !slices.Equal(bound, threads) {
							t.Errorf("WithCPUs%v: the loops' threads are %v, and bound are %v", cpus, threads, bound)
						}
					}
					looked.Add(1)
					when(t, task, "all have looked", func() bool { return looked.Load() == loops })
					return nil
				}))
			}
			must(t, "Run", runGroup(t, g, context.Background()))
			if bound := boundThreads(t, all); len(bound) > 0 {
				t.Errorf("WithCPUs%v: the threads %v are bound after Run", cpus, bound)
			}
		}
	})
}

// However a loop ends, its thread is bound no more.
func TestWithCPUsUnbinds(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		all := cpusOf(t, 0)
		for how, body := range map[string]func(Task){
			"panic":           func(Task) { panicking("end") },
			"Goexit":          func(task Task) { task.Loop().Post(runtime.Goexit); task.Sleep(time.Hour) },
			"a task's Goexit": func(Task) { runtime.Goexit() },
			"a broken backend": func(task Task) {
				s := spyOn(task.Loop())
				s.counts(func() { s.pollErr = os.ErrInvalid })
				task.Sleep(time.Hour)
			},
		} {
			l := testLoop(t, name, WithCPUs(all[0]))
			ran := false
			must(t, "Go", l.Go(func(task Task) error {
				ran = slices.Equal(cpusOf(t, 0), all[:1])
				body(task)
				return nil
			}))
			runUntil(t, l, context.Background())
			if !ran {
				t.Errorf("%s: the loop did not run where it should", how)
			}
			if bound := boundThreads(t, all); len(all) > 1 && len(bound) > 0 {
				t.Errorf("%s: the threads %v are bound after Run", how, bound)
			}
		}
	})
}

// Threads and groups that what runs on a bound loop makes are not bound with it.
func TestWithCPUsBindsNothingElse(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		all := cpusOf(t, 0)
		run(t, name, func(task Task) {
			var wg sync.WaitGroup
			for range 4 { // on threads of their own
				wg.Go(func() {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					if got := cpusOf(t, 0); !slices.Equal(got, all) {
						t.Errorf("another goroutine may run on %v, of %v", got, all)
					}
				})
			}
			wg.Wait()
			g := testGroup(t, name, len(all), WithCPUs())
			for i, l := range g.loops {
				if l.cpu != all[i] {
					t.Errorf("loop %d of a group that a bound loop makes is for processor %d, want %d", i, l.cpu, all[i])
				}
			}
			must(t, "Close", g.Close())
		}, WithCPUs(all[0]))
	})
}

// A processor that is not there, or not for this process, is an error that names it, and leaves nothing.
func TestWithCPUsUnavailable(t *testing.T) {
	leavesNothing(t)
	all := cpusOf(t, 0)
	none := 0
	for slices.Contains(all, none) {
		none++
	}
	for _, cpu := range []int{none, -1, -64, -65, maxCPUs, 1 << 30} {
		for what, err := range map[string]error{
			"New":      second(New(WithCPUs(cpu))),
			"NewGroup": second(NewGroup(WithLoops(3), WithCPUs(all[0], cpu))),
			"Serve":    Serve(context.Background(), "tcp", "127.0.0.1:0", echo, WithCPUs(cpu)),
		} {
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("WithCPUs: there is no processor %d ", cpu)) {
				t.Errorf("%s(WithCPUs(%d)): error %v", what, cpu, err)
			}
		}
	}
	g, err := NewGroup(WithLoops(2), WithCPUs(all[0], all[0], none)) // which no loop is for
	must(t, "NewGroup", err)
	must(t, "Close", g.Close())
}

// One that has gone since is an error of Run, and ends the other loops.
func TestWithCPUsGone(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 2, WithCPUs())
		g.loops[1].cpu = maxCPUs - 1
		must(t, "Go", g.loops[0].Go(func(task Task) error { return task.Sleep(time.Hour) }))
		err := runGroup(t, g, context.Background())
		wantErr(t, "Run", err, unix.EINVAL)
		if err == nil || !strings.Contains(err.Error(), "WithCPUs(1023)") {
			t.Errorf("Run does not name the processor: %v", err)
		}
		if bound := boundThreads(t, cpusOf(t, 0)); len(bound) > 0 {
			t.Errorf("the threads %v are bound after Run", bound)
		}
	})
}

// What WithCPUs is given stays the caller's.
func TestWithCPUsKeepsOff(t *testing.T) {
	leavesNothing(t)
	cpus := []int{-1, -1, -1}
	l, err := New(WithBackend("select"), WithCPUs(cpus[:0]...))
	must(t, "New", err)
	must(t, "Close", l.Close())
	if !slices.Equal(cpus, []int{-1, -1, -1}) {
		t.Errorf("the caller's slice is %v", cpus)
	}
}
