package reactor

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// A promise of a loop can be set from any goroutine, once.
func TestPromiseFromElsewhere(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		p := NewPromise[int](l)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				time.Sleep(time.Millisecond)
				must(t, "Post", p.Post(i+1, nil))
			})
		}
		must(t, "Run", runLoop(t, l, func(task Task) error {
			return task.Together(func(g *TaskGroup) error {
				for range 5 {
					g.Go(func(task Task) error {
						v, err := p.Wait(task)
						if again, _ := p.Wait(task); v < 1 || v > 10 || v != again || err != nil {
							t.Errorf("Wait: %d, %v, and then %d", v, err, again)
						}
						return nil
					})
				}
				unset := NewPromise[int](l)
				wantErr(t, "Wait", task.Timeout(time.Millisecond, func() error { _, err := unset.Wait(task); return err }), context.DeadlineExceeded)
				off(t, task, wg.Wait)
				return nil
			})
		}))
		wg.Wait()
		wantErr(t, "Post", p.Post(1, nil), ErrLoopEnded)
		if err := new(Promise[int]).Post(1, nil); err == nil {
			t.Error("Post of a promise without a loop")
		}
	})
}

// What many goroutines send arrives once, those of each in order, whoever is canceled while waiting for it.
func TestMailbox(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const senders, values = 3, 300
		l := testLoop(t, name)
		m := NewMailbox[int](l, 5)
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range values {
					for {
						err := m.Send(s*values + i)
						if err == nil {
							break
						}
						if wantErr(t, "Send", err, ErrMailboxFull); !errors.Is(err, ErrMailboxFull) {
							return
						}
						time.Sleep(10 * time.Microsecond)
					}
				}
			})
		}
		seen := 0
		must(t, "Run", runLoop(t, l, func(task Task) error {
			return task.Together(func(g *TaskGroup) error {
				for r := range 3 {
					g.Go(func(task Task) error {
						last := [senders]int{-1, -1, -1}
						for seen < senders*values {
							var v int
							err := task.Timeout(time.Duration(100+100*r)*time.Microsecond, func() (err error) { v, err = m.Receive(task); return err })
							if err != nil {
								wantErr(t, "Receive", err, context.DeadlineExceeded)
								continue
							}
							if seen++; v%values <= last[v/values] {
								t.Errorf("%d came after %d", v%values, last[v/values])
							}
							last[v/values] = v % values
						}
						return nil
					})
				}
				return nil
			})
		}))
		wg.Wait()
		if seen != senders*values {
			t.Errorf("%d of %d arrived", seen, senders*values)
		}
		wantErr(t, "Send", m.Send(1), ErrLoopEnded)
	})
}

// A full mailbox refuses, and one of another loop is no task's to wait for.
func TestMailboxFull(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		other := testLoop(t, name)
		defer other.Close()
		run(t, name, func(task Task) {
			m := NewMailbox[int](task.Loop(), 2)
			must(t, "Send", m.Send(1))
			must(t, "Send", m.Send(2))
			wantErr(t, "Send", m.Send(3), ErrMailboxFull)
			task.Cancel()
			for want := range 2 {
				if v, err := m.Receive(task); v != want+1 || err != nil {
					t.Errorf("Receive: %d, %v", v, err)
				}
			}
			_, err := m.Receive(task)
			wantErr(t, "Receive", err, ErrCanceled)
			_, err = NewMailbox[int](other, 1).Receive(task)
			wantErr(t, "Receive from another loop's", err, ErrWrongGoroutine)
			_, err = NewPromise[int](other).Wait(task)
			wantErr(t, "Wait for another loop's", err, ErrWrongGoroutine)
		})
	})
}

// Receive takes from a channel what is sent, tells of its close, and leaves it alone when it is canceled.
func TestReceive(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ch := make(chan int)
			others := 0
			ticking := task.Go(func(task Task) error {
				for task.Sleep(10*time.Microsecond) == nil {
					others++
				}
				return nil
			})
			go func() {
				for i := range 20 {
					time.Sleep(50 * time.Microsecond)
					ch <- i
				}
				close(ch)
			}()
			next := 0
			for over := false; !over; {
				err := task.Timeout(time.Duration(next*10)*time.Microsecond, func() error {
					v, ok, err := Receive(task, ch)
					switch {
					case err != nil:
						return err
					case !ok:
						over = true
					case v != next:
						t.Errorf("received %d, want %d", v, next)
					}
					next++
					return nil
				})
				if err != nil {
					wantErr(t, "Receive", err, context.DeadlineExceeded)
					v, ok, err := Receive(task, ch)
					if v != next && ok || err != nil {
						t.Errorf("Receive: %d, %v, %v; want %d", v, ok, err, next)
					}
					over = !ok
					next++
				}
			}
			if next != 21 || others == 0 {
				t.Errorf("%d of 21 were received; the loop went on %d times", next, others)
			}
			ticking.Cancel()
			for how, scope := range endings {
				cause, err := scope(task, func() error { _, _, err := Receive[int](task, nil); return err })
				wantErr(t, how, err, cause)
			}
			there := make(chan int, 1)
			there <- 7
			task.Cancel()
			if v, ok, err := Receive(task, there); v != 7 || !ok || err != nil {
				t.Errorf("Receive: %d, %v, %v", v, ok, err)
			}
			_, _, err := Receive(Task{}, there)
			wantErr(t, "Receive by no task", err, ErrNotTask)
		})
	})
}

// No goroutine stays where the loop ends, in order or not.
func TestReceiveAtTheEnd(t *testing.T) {
	for _, broken := range []bool{false, true} {
		eachBackend(t, func(t *testing.T, name string) {
			ctx, cancel := context.WithCancelCause(context.Background())
			l := testLoop(t, name)
			must(t, "Go", l.Go(func(task Task) error {
				for range 3 {
					task.Go(func(task Task) error { _, _, err := Receive[int](task, nil); return err })
				}
				must(t, "Sleep", task.Sleep(time.Millisecond))
				if broken {
					spyOn(l).counts(func() { spyOn(l).pollErr = errFailed })
				} else {
					cancel(errFailed)
				}
				return nil
			}))
			wantErr(t, "Run", runUntil(t, l, ctx), errFailed)
		})
	}
}

// What is sent while Run waits for offloaded work, when no task is left to receive it, is refused.
func TestMailboxWhileWorkEnds(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		m := NewMailbox[int](l, 5)
		sent := make(chan error, 1)
		must(t, "Run", runLoop(t, l, func(task Task) error {
			wantErr(t, "Offload", task.Timeout(time.Millisecond, func() error {
				return Offload(task, func() error {
					<-l.finished
					sent <- m.Send(1)
					return nil
				})
			}), context.DeadlineExceeded)
			return nil
		}))
		wantErr(t, "Send", <-sent, ErrLoopEnded)
	})
}
