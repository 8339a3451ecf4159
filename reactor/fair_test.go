package reactor

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
)

// busy keeps a task ready until stop is set.
func busy(task Task, stop *bool) {
	task.Go(func(task Task) error {
		for !*stop {
			if err := task.Yield(); err != nil {
				return err
			}
		}
		return nil
	})
}

// A task that is always ready starves neither accepting nor reading.
func TestBusyTaskStarvesNoConnection(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			stop := false
			busy(task, &stop)
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			defer ln.Close()
			served := 0
			task.Go(func(task Task) error {
				for {
					c, err := ln.AcceptConn()
					if err != nil {
						return nil
					}
					task.Go(func(task Task) error {
						defer c.Close()
						defer func() { served++ }()
						return echo(c)
					})
				}
			})
			off(t, task, func() {
				for range 10 {
					c, err := net.Dial("tcp", ln.Addr().String())
					must(t, "Dial", err)
					c.SetDeadline(time.Now().Add(limit))
					for range 3 {
						c.Write([]byte("ping"))
						if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
							t.Errorf("Read: %v", err)
						}
					}
					c.Close()
				}
			})
			when(t, task, "all are served", func() bool { return served == 10 })
			stop = true
		})
	})
}

// echo sends back what comes.
func echo(c Conn) error {
	for {
		data, err := c.Next()
		if err != nil {
			return err
		}
		if _, err := c.Write(data); err != nil {
			return err
		}
	}
}

// Nor does it hold up timers.
func TestBusyTaskStarvesNoTimer(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			stop := false
			busy(task, &stop)
			for range 5 {
				began := time.Now()
				must(t, "Sleep", task.Sleep(time.Millisecond))
				if took := time.Since(began); took > limit/10 {
					t.Errorf("Sleep(1ms) took %v", took)
				}
			}
			stop = true
		})
	})
}

// Nor does one that always has something to read.
func TestBusyConnectionStarvesNoOther(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			c, d := pair(t, task)
			task.Go(func(Task) error { // as much as it can
				defer a.Close()
				for block := make([]byte, 8<<10); ; {
					if _, err := a.Write(block); err != nil {
						return nil
					}
				}
			})
			task.Go(func(Task) error {
				for {
					if _, err := b.Next(); err != nil {
						return nil
					}
				}
			})
			for range 100 {
				c.Write([]byte("ping"))
				if _, err := d.Next(); err != nil {
					t.Errorf("Next: %v", err)
				}
			}
			for _, c := range []Conn{b, c, d} {
				must(t, "Close", c.Close())
			}
		})
	})
}

// Tasks that are ready take turns in the order in which they became it.
func TestReadyTasksTakeTurns(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const tasks, rounds = 5000, 3
		var got []int
		run(t, name, func(task Task) {
			for i := range tasks {
				task.Go(func(task Task) error {
					for range rounds {
						got = append(got, i)
						task.Yield()
					}
					return nil
				})
			}
		})
		for i, n := range got {
			if n != i%tasks {
				t.Fatalf("task %d had turn %d", n, i)
			}
		}
		if len(got) != tasks*rounds {
			t.Errorf("%d turns, want %d", len(got), tasks*rounds)
		}
	})
}

// A turn of the loop resumes a task once: what becomes ready meanwhile comes after the next Poll.
func TestTurnResumesOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			s := spyOn(task.Loop())
			began, now := 0, 0
			s.counts(func() { began = s.polls })
			const yields = 100
			for range yields {
				must(t, "Yield", task.Yield())
			}
			if s.counts(func() { now = s.polls }); now-began < yields {
				t.Errorf("%d polls in %d turns of a task", now-began, yields)
			}
		})
	})
}

// Timers of equal time expire in the order in which they were set.
func TestEqualTimersKeepOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const tasks = 500
		var got []int
		run(t, name, func(task Task) {
			at := spyOn(task.Loop()).Now() + 3*time.Millisecond
			for i := range tasks {
				task.Go(func(task Task) error {
					err := task.Await(&testEvent{
						register: func(r event.Reactor) error {
							if i%3 == 0 {
								r.Timer(at + time.Hour) // to be moved
							}
							r.Timer(at)
							return nil
						},
						resume: func(_ event.Reactor, c *backend.Completion) (bool, error) { return true, c.Err },
					})
					wantErr(t, "the timer's wait", err, ErrDeadline)
					got = append(got, i)
					return nil
				})
			}
		})
		if len(got) != tasks || !slices.IsSorted(got) {
			t.Errorf("%d of %d expired, in the order %v", len(got), tasks, got)
		}
	})
}
