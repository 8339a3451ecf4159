package reactor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/eyewall/eyewall/internal/testenv"
)

// primitive is something that tasks wait for, one after the other: wait does, and grant lets n go on.
type primitive struct {
	wait  func(Task) error
	grant func(n int)
	later bool // a grant comes a turn later
}

// primitives make those that serve one at a time.
var primitives = map[string]func(testing.TB, Task) primitive{
	"Mutex": func(t testing.TB, task Task) primitive {
		var m Mutex
		must(t, "Lock", m.Lock(task))
		return primitive{wait: m.Lock, grant: func(n int) {
			for range n {
				m.Unlock()
			}
		}}
	},
	"Semaphore": func(t testing.TB, task Task) primitive {
		s := NewSemaphore(1000)
		must(t, "Acquire", s.Acquire(task, 999))
		return primitive{wait: func(task Task) error { return s.Acquire(task, 2) }, grant: func(n int) { s.Release(int64(2 * n)) }}
	},
	"Cond": func(testing.TB, Task) primitive {
		var c Cond
		return primitive{wait: c.Wait, grant: func(n int) {
			for range n {
				c.Signal()
			}
		}}
	},
	"Queue.Get": func(testing.TB, Task) primitive {
		var q Queue[int]
		next, got := 0, 0
		return primitive{wait: func(task Task) error {
			v, err := q.Get(task)
			if got++; err == nil && v == 0 {
				return errors.New("it got nothing")
			}
			return err
		}, grant: func(n int) {
			for range n {
				next++
				q.TryPut(next)
			}
		}}
	},
	"Queue.Put": func(t testing.TB, task Task) primitive {
		q := NewQueue[int](1)
		must(t, "Put", q.Put(task, 1))
		return primitive{wait: func(task Task) error { return q.Put(task, 1) }, grant: func(n int) {
			for range n {
				q.TryGet()
			}
		}}
	},
	"Mailbox": func(t testing.TB, task Task) primitive {
		m := NewMailbox[int](task.Loop(), 10)
		return primitive{wait: func(task Task) error { _, err := m.Receive(task); return err }, grant: func(n int) {
			for range n {
				must(t, "Send", m.Send(1))
			}
		}, later: true}
	},
}

// Those who wait are served in the order in which they came, one for each grant.
func TestPrimitivesAreFair(t *testing.T) {
	eachPrimitive(t, func(t *testing.T, task Task, p primitive) {
		var order []int
		must(t, "Together", task.Together(func(g *TaskGroup) error {
			for i := range 9 {
				g.Go(func(task Task) error {
					defer func() { order = append(order, i) }()
					return p.wait(task)
				})
			}
			must(t, "Sleep", task.Sleep(time.Millisecond))
			for _, n := range []int{1, 3, 5} {
				want := len(order) + n
				p.grant(n)
				when(t, task, fmt.Sprintf("%d went on", want), func() bool { return len(order) >= want })
				must(t, "Sleep", task.Sleep(100*time.Microsecond))
				if len(order) != want {
					t.Errorf("%d of %d went on", len(order), want)
				}
			}
			return nil
		}))
		if !slices.Equal(order, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}) {
			t.Errorf("they went on in the order %v", order)
		}
	})
}

// One that is canceled leaves, wherever in the queue it is, and what it would have got is the next one's.
func TestPrimitivesCanceled(t *testing.T) {
	eachPrimitive(t, func(t *testing.T, task Task, p primitive) {
		for how, scope := range endings {
			cause, err := scope(task, func() error { return p.wait(task) })
			wantErr(t, how, err, cause)
		}
		for _, leave := range [][]int{{0}, {2}, {4}, {0, 1, 2, 3}, {1, 3}, {4, 3, 0}} {
			var order []int
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				var waiters []Task
				for i := range 5 {
					waiters = append(waiters, g.Go(func(task Task) error {
						err := p.wait(task)
						if err == nil {
							order = append(order, i)
						} else {
							wantErr(t, "the wait", err, errCause)
						}
						return err
					}))
				}
				must(t, "Sleep", task.Sleep(100*time.Microsecond))
				for _, i := range leave {
					waiters[i].CancelCause(errCause)
				}
				must(t, "Sleep", task.Sleep(100*time.Microsecond))
				p.grant(5 - len(leave))
				return nil
			}))
			var want []int
			for i := range 5 {
				if !slices.Contains(leave, i) {
					want = append(want, i)
				}
			}
			if !slices.Equal(order, want) {
				t.Errorf("without %v they went on in the order %v", leave, order)
			}
		}
	})
}

// What was granted is not lost by a cancellation that comes after it.
func TestPrimitivesGrantBeatsCancel(t *testing.T) {
	eachPrimitive(t, func(t *testing.T, task Task, p primitive) {
		granted, left := 0, 0
		for range 20 {
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				waiter := g.Go(func(task Task) error {
					err := p.wait(task)
					if err == nil {
						granted++
					} else {
						left++
					}
					return err
				})
				must(t, "Sleep", task.Sleep(50*time.Microsecond))
				p.grant(1)
				waiter.CancelCause(errCause)
				when(t, task, "it has ended", waiter.Done)
				if left > 0 { // then it is the next one's
					left--
					return p.wait(task)
				}
				return nil
			}))
		}
		if granted != 20 && !p.later {
			t.Errorf("%d of 20 got what was granted before they were canceled", granted)
		}
	})
}

// One that is canceled before gets nothing any more, though it is still to hear of that: the next one does.
func TestPrimitivesCancelBeatsGrant(t *testing.T) {
	eachPrimitive(t, func(t *testing.T, task Task, p primitive) {
		for range 3 {
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				first := g.Go(func(task Task) error {
					wantErr(t, "the wait", p.wait(task), errCause)
					return nil
				})
				g.Go(func(task Task) error { return p.wait(task) })
				must(t, "Sleep", task.Sleep(50*time.Microsecond))
				first.CancelCause(errCause)
				p.grant(1)
				return nil
			}))
		}
	})
}

// Whoever waits at the end of the loop is canceled, and one that is ended there leaves the queue.
func TestPrimitivesAtTheEnd(t *testing.T) {
	for way, make := range primitives {
		for _, how := range []string{"canceled", "ignoring", "broken"} {
			t.Run(way+", "+how, func(t *testing.T) {
				eachBackend(t, func(t *testing.T, name string) {
					ctx, cancel := context.WithCancelCause(context.Background())
					l := testLoop(t, name)
					ended := 0
					must(t, "Go", l.Go(func(task Task) error {
						p := make(t, task)
						for range 3 {
							task.Go(func(task Task) error {
								defer func() { ended++; p.grant(1) }() // wakes another, also one that has gone
								for how == "ignoring" {
									p.wait(task)
								}
								return p.wait(task)
							})
						}
						must(t, "Sleep", task.Sleep(100*time.Microsecond))
						if how == "broken" {
							spyOn(l).counts(func() { spyOn(l).pollErr = errFailed })
							return task.Sleep(time.Hour)
						}
						cancel(errFailed)
						return nil
					}))
					wantErr(t, "Run", runUntil(t, l, ctx), errFailed)
					if ended != 3 {
						t.Errorf("%d of 3 ended", ended)
					}
				})
			})
		}
	}
}

func eachPrimitive(t *testing.T, test func(t *testing.T, task Task, p primitive)) {
	for way, make := range primitives {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) { test(t, task, make(t, task)) })
			})
		})
	}
}

func TestMutex(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var m Mutex
			inside, entered := 0, 0
			random := rand.New(rand.NewPCG(5, 6))
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				for range 20 {
					g.Go(func(task Task) error {
						for range 10 {
							err := task.Timeout(time.Duration(random.IntN(200))*time.Microsecond, func() error { return m.Lock(task) })
							if err != nil {
								wantErr(t, "Lock", err, context.DeadlineExceeded)
								continue
							}
							if inside++; inside != 1 {
								t.Errorf("%d have it at once", inside)
							}
							must(t, "Sleep", task.Sleep(time.Duration(random.IntN(20))*time.Microsecond))
							inside--
							entered++
							m.Unlock()
						}
						return nil
					})
				}
				return nil
			}))
			if entered == 0 || m.locked || !m.waiters.empty() {
				t.Errorf("%d got it; it is locked: %v", entered, m.locked)
			}
			if !m.TryLock() || m.TryLock() {
				t.Error("TryLock")
			}
			task.Cancel()
			wantErr(t, "Lock of a canceled task", m.Lock(task), ErrCanceled)
			m.Unlock()
			must(t, "Lock of a free one by a canceled task", m.Lock(task))
			wantErr(t, "Lock by no task", m.Lock(Task{}), ErrNotTask)
			m.Unlock()
			wantPanicking(t, "Unlock", m.Unlock)
		})
	})
}

func wantPanicking(t *testing.T, what string, fn func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	fn()
}

func TestSemaphore(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			s := NewSemaphore(10)
			var order []int64
			must(t, "Acquire", s.Acquire(task, 10))
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				var waiters []Task
				for _, n := range []int64{3, 10, 2, 1} {
					waiters = append(waiters, g.Go(func(task Task) error {
						err := s.Acquire(task, n)
						if err == nil {
							order = append(order, n)
						}
						return err
					}))
				}
				must(t, "Yield", task.Yield())
				s.Release(5) // enough for 3, and then for the small ones, which must not pass 10
				must(t, "Yield", task.Yield())
				must(t, "Yield", task.Yield())
				if !slices.Equal(order, []int64{3}) || s.TryAcquire(1) {
					t.Errorf("%v have some", order)
				}
				waiters[1].Cancel()
				must(t, "Sleep", task.Sleep(time.Millisecond))
				if !slices.Equal(order, []int64{3, 2}) || s.free != 0 {
					t.Errorf("%v have some, %d are free", order, s.free)
				}
				s.Release(1)
				return nil
			}))
			if !slices.Equal(order, []int64{3, 2, 1}) {
				t.Errorf("%v have some", order)
			}
			s.Release(10)
			if err := s.Acquire(task, 11); err == nil {
				t.Error("11 of 10 were acquired")
			}
			must(t, "Acquire of nothing", s.Acquire(task, 0))
			wantPanicking(t, "Release", func() { s.Release(1) })
			wantPanicking(t, "Acquire", func() { s.Acquire(task, -1) })
		})
	})
}

func TestCond(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var c Cond
			if c.Signal() {
				t.Error("it signaled nobody")
			}
			woken := 0
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				for range 10 {
					g.Go(func(task Task) error {
						err := c.Wait(task)
						woken++
						return err
					})
				}
				must(t, "Yield", task.Yield())
				if !c.Signal() {
					t.Error("nobody waits")
				}
				must(t, "Yield", task.Yield())
				if woken != 1 {
					t.Errorf("one Signal woke %d", woken)
				}
				c.Broadcast()
				return nil
			}))
		})
	})
}

func TestWaitGroup(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var g WaitGroup
			must(t, "Wait for nothing", g.Wait(task))
			g.Add(3)
			for range 2 { // may be used again
				waited := 0
				for range 5 {
					task.Go(func(task Task) error {
						must(t, "Wait", g.Wait(task))
						waited++
						return nil
					})
				}
				wantErr(t, "Wait", task.Timeout(time.Millisecond, func() error { return g.Wait(task) }), context.DeadlineExceeded)
				for range 3 {
					if waited != 0 {
						t.Error("it is over too early")
					}
					g.Done()
				}
				must(t, "Wait", g.Wait(task))
				when(t, task, "all went on", func() bool { return waited == 5 })
				g.Add(3)
			}
			g.Add(-3)
			wantPanicking(t, "Done", g.Done)
		})
	})
}

// What goes through a queue comes out once, in order, whoever is canceled meanwhile.
func TestQueue(t *testing.T) {
	for _, capacity := range []int{0, 1, 3, 100} {
		eachBackend(t, func(t *testing.T, name string) {
			run(t, name, func(task Task) {
				const values, producers, consumers = 300, 3, 3
				q := NewQueue[int](capacity)
				random := rand.New(rand.NewPCG(7, 8))
				seen := map[int]int{}
				producing := producers
				must(t, "Together", task.Together(func(g *TaskGroup) error {
					for p := range producers {
						g.Go(func(task Task) error {
							for i := 0; i < values; {
								err := task.Timeout(time.Duration(random.IntN(100))*time.Microsecond, func() error { return q.Put(task, p*values+i) })
								if err == nil {
									i++
								} else {
									wantErr(t, "Put", err, context.DeadlineExceeded)
								}
								if q.Len() > max(capacity, 1) {
									t.Errorf("a queue of %d has %d", capacity, q.Len())
								}
							}
							if producing--; producing == 0 {
								q.Close()
								q.Close()
							}
							return nil
						})
					}
					for range consumers {
						g.Go(func(task Task) error {
							last := [producers]int{-1, -1, -1}
							for {
								var v int
								err := task.Timeout(time.Duration(random.IntN(100))*time.Microsecond, func() (err error) { v, err = q.Get(task); return err })
								switch {
								case err == ErrQueueClosed:
									return nil
								case err != nil:
									wantErr(t, "Get", err, context.DeadlineExceeded)
									continue
								}
								seen[v]++
								if v%values <= last[v/values] {
									t.Errorf("%d came after %d", v%values, last[v/values])
								}
								last[v/values] = v % values
								if random.IntN(10) == 0 {
									task.Sleep(20 * time.Microsecond)
								}
							}
						})
					}
					return nil
				}))
				if len(seen) != values*producers {
					t.Errorf("%d of %d values came through", len(seen), values*producers)
				}
				for v, n := range seen {
					if n != 1 {
						t.Errorf("%d came %d times", v, n)
					}
				}
			})
		})
	}
}

// Close ends the waits; what is in the queue is still to be had, and what was to be put in is not.
func TestQueueClosed(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			full, empty := NewQueue[string](1), NewQueue[string](1)
			must(t, "Put", full.Put(task, "first"))
			told := 0
			must(t, "Together", task.Together(func(g *TaskGroup) error {
				g.Go(func(task Task) error { told++; wantErr(t, "Put", full.Put(task, "second"), ErrQueueClosed); return nil })
				g.Go(func(task Task) error {
					told++
					_, err := empty.Get(task)
					wantErr(t, "Get", err, ErrQueueClosed)
					return nil
				})
				must(t, "Yield", task.Yield())
				full.Close()
				empty.Close()
				return nil
			}))
			wantErr(t, "Put", full.Put(task, "third"), ErrQueueClosed)
			if v, err := full.Get(task); v != "first" || err != nil {
				t.Errorf("Get: %q, %v", v, err)
			}
			_, err := full.Get(task)
			wantErr(t, "Get", err, ErrQueueClosed)
			if full.TryPut("fourth") || told != 2 {
				t.Error("a closed queue has taken something")
			}
		})
	})
}

// Waiting allocates nothing once the loop is warm.
func TestPrimitivesAllocateNothing(t *testing.T) {
	undebugged(t)
	if testenv.Race {
		return
	}
	eachDriver(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var m Mutex
			requests, answers := NewQueue[int](1), NewQueue[int](1)
			task.Go(func(task Task) error {
				for {
					v, err := requests.Get(task)
					if err != nil {
						return nil
					}
					m.Lock(task)
					answers.Put(task, v)
					m.Unlock()
				}
			})
			round := func() {
				requests.Put(task, 1)
				answers.Get(task)
				m.Lock(task)
				requests.Put(task, 2)
				task.Yield()
				m.Unlock()
				answers.Get(task)
			}
			for range 100 {
				round()
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 1000 {
				round()
			}
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; n > 100 {
				t.Errorf("1000 rounds made %d allocations", n)
			}
			requests.Close()
		})
	})
}

func TestPromise(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var p Promise[string]
			got := 0
			for range 3 {
				task.Go(func(task Task) error {
					v, err := p.Wait(task)
					if v != "it" || err != errCause {
						t.Errorf("Wait: %q, %v", v, err)
					}
					got++
					return nil
				})
			}
			wantErr(t, "Wait", task.Timeout(time.Millisecond, func() error { _, err := p.Wait(task); return err }), context.DeadlineExceeded)
			if p.Done() || !p.Set("it", errCause) || p.Set("another", nil) || !p.Done() {
				t.Error("the first does not stand")
			}
			when(t, task, "all have it", func() bool { return got == 3 })
			task.Cancel()
			if v, err := p.Wait(task); v != "it" || err != errCause {
				t.Errorf("Wait of a canceled task: %q, %v", v, err)
			}
		})
	})
}
