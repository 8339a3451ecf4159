package reactor

import (
	"runtime"
	"testing"
	"time"

	"github.com/eyewall/eyewall/event"
)

// eachBench runs a benchmark's body as the first task of a loop on each backend.
func eachBench(b *testing.B, body func(b *testing.B, task Task)) {
	b.Helper()
	for _, d := range own {
		name := fullName(d)
		b.Run(name, func(b *testing.B) {
			l := testLoop(b, name)
			err := l.Go(func(task Task) error {
				body(b, task)
				return nil
			})
			must(b, "Go", err)
			must(b, "Run", l.Run(b.Context()))
		})
	}
}

// A turn of the loop with one task that is ready: a switch there and back, and a Poll.
func BenchmarkYield(b *testing.B) {
	eachBench(b, func(b *testing.B, task Task) {
		b.ReportAllocs()
		for b.Loop() {
			task.Yield()
		}
	})
}

// The same for each of 1,000 tasks: mostly the switch.
func BenchmarkYieldOfMany(b *testing.B) {
	eachBench(b, func(b *testing.B, task Task) {
		b.ReportAllocs()
		const tasks = 1000
		stop := false
		for range tasks - 1 {
			task.Go(func(task Task) error {
				for !stop {
					task.Yield()
				}
				return nil
			})
		}
		for n := 0; b.Loop(); n++ {
			if n%tasks == 0 {
				task.Yield()
			}
		}
		stop = true
	})
}

// An event that is over at once.
func BenchmarkAwait(b *testing.B) {
	eachBench(b, func(b *testing.B, task Task) {
		b.ReportAllocs()
		sleep := new(event.Sleep)
		for b.Loop() {
			task.Await(sleep)
		}
	})
}

// A timer, with 10,000 others set.
func BenchmarkTimer(b *testing.B) {
	eachBench(b, func(b *testing.B, task Task) {
		b.ReportAllocs()
		var sleepers []Task
		for i := range 10_000 {
			sleepers = append(sleepers, task.Go(func(task Task) error {
				task.Sleep(time.Hour + time.Duration(i)*time.Millisecond)
				return nil
			}))
		}
		task.Yield()
		due := timerEvent(0)
		for b.Loop() {
			task.Await(due)
		}
		for _, s := range sleepers {
			s.Cancel()
		}
	})
}

// A task that ends at once.
func BenchmarkGo(b *testing.B) {
	eachBench(b, func(b *testing.B, task Task) {
		b.ReportAllocs()
		for b.Loop() {
			task.Go(func(Task) error { return nil })
			task.Yield()
		}
	})
}

// A function posted by another goroutine, to a loop that is asleep as often as not.
func BenchmarkPost(b *testing.B) {
	eachBench(b, func(b *testing.B, task Task) {
		b.ReportAllocs()
		l := task.Loop()
		off := make(chan bool)
		go func() {
			defer close(off)
			for b.Loop() {
				for l.Post(func() {}) == ErrPostFull {
					runtime.Gosched()
				}
			}
		}()
		for {
			select {
			case <-off:
				return
			default:
				task.Sleep(10 * time.Microsecond)
			}
		}
	})
}

// A message of 64 bytes there and back between two connections of one loop.
func BenchmarkPingPong(b *testing.B) {
	eachBench(b, func(b *testing.B, task Task) {
		b.ReportAllocs()
		c, d := pair(b, task)
		task.Go(func(Task) error { echo(d); return d.Close() })
		message := make([]byte, 64)
		for b.Loop() {
			c.Write(message)
			if _, err := c.Next(); err != nil {
				b.Fatal(err)
			}
		}
		c.Close()
	})
}

// What a task takes that sleeps, or that waits for input: bytes of stack and of heap.
func BenchmarkParkedTask(b *testing.B) {
	for what, park := range parks {
		b.Run(what, func(b *testing.B) {
			eachBench(b, func(b *testing.B, task Task) {
				var stack, heap float64
				n := 0
				for fn := park(b, task); b.Loop(); n++ {
					s, h := footprint(task, fn, 4000)
					stack, heap = stack+s, heap+h
				}
				b.ReportMetric(stack/float64(n), "stackB/task")
				b.ReportMetric(heap/float64(n), "heapB/task")
			})
		})
	}
}
