package reactor

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// storm is tasks that do all that tasks can, nested at random, and are canceled at random.
type storm struct {
	t      *testing.T
	random *rand.Rand
	mutex  Mutex
	inside int
	sem    *Semaphore
	queue  *Queue[int]
	conns  [2]Conn
	began  int
	ended  int
}

func (s *storm) pause() time.Duration { return time.Duration(s.random.IntN(100)) * time.Microsecond }

func (s *storm) task(depth int) func(Task) error {
	return func(task Task) error {
		s.began++
		defer func() { s.ended++ }()
		for range 3 {
			if err := s.act(task, depth); err != nil && s.random.IntN(2) == 0 {
				return err
			}
		}
		return nil
	}
}

// act does one thing. Deeper ones wrap others.
func (s *storm) act(task Task, depth int) error {
	deeper := func() error { return s.act(task, depth+1) }
	n := 16
	if depth > 4 {
		n = 8
	}
	switch s.random.IntN(n) {
	case 0:
		return task.Sleep(s.pause())
	case 1:
		if err := s.mutex.Lock(task); err != nil {
			return err
		}
		defer s.mutex.Unlock()
		if s.inside++; s.inside != 1 {
			s.t.Errorf("%d have the mutex", s.inside)
		}
		defer func() { s.inside-- }()
		return task.Sleep(s.pause() / 10)
	case 2:
		n := 1 + s.random.Int64N(3)
		if err := s.sem.Acquire(task, n); err != nil {
			return err
		}
		defer s.sem.Release(n)
		return task.Yield()
	case 3:
		return s.queue.Put(task, 1)
	case 4:
		_, err := s.queue.Get(task)
		return err
	case 5:
		_, err := s.conns[0].Next()
		return err
	case 6:
		_, err := s.conns[1].Write([]byte("x"))
		return err
	case 7:
		return errCause
	case 8:
		return task.Timeout(s.pause(), deeper)
	case 9:
		ctx, cancel := context.WithTimeout(task.Context(), s.pause())
		defer cancel()
		return task.With(ctx, deeper)
	case 10:
		return task.Timeout(time.Millisecond, func() error { return task.Shield(func() error { return task.Sleep(s.pause()) }) })
	case 11:
		return Offload(task, func() error { time.Sleep(10 * time.Microsecond); return nil })
	case 12:
		defer func() { recover() }()
		return task.Together(func(g *TaskGroup) error {
			g.Go(s.task(depth + 1))
			g.Go(func(task Task) error {
				defer task.Yield()
				switch s.random.IntN(3) {
				case 0:
					panic("storm")
				case 1:
					runtime.Goexit()
				}
				return nil
			})
			return deeper()
		})
	case 13:
		_, err := First(task, s.result(depth), s.result(depth), s.result(depth))
		return err
	default:
		return task.Together(func(g *TaskGroup) error {
			for range 1 + s.random.IntN(3) {
				child := g.Go(s.task(depth + 1))
				if s.random.IntN(4) == 0 {
					task.Sleep(s.pause())
					child.Cancel()
				}
			}
			return deeper()
		})
	}
}

func (s *storm) result(depth int) func(Task) (int, error) {
	return func(task Task) (int, error) { return 1, s.act(task, depth+1) }
}

// Several readers of one connection may wait in Next: what one was lent is returned when the next is.
func TestNextBySeveral(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			for range 10 {
				got := 0
				must(t, "Together", task.Together(func(g *TaskGroup) error {
					for range 3 { // all of which wait before anything comes
						g.Go(func(Task) error {
							data, err := b.Next()
							got += len(data)
							return err
						})
					}
					for n := range 3 {
						must(t, "Yield", task.Yield())
						a.Write([]byte("x"))
						when(t, task, "one has it", func() bool { return got == n+1 })
					}
					return nil
				}))
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
			when(t, task, "nothing is lent", func() bool { return outstanding(task.Loop()) == 0 })
		})
	})
}

// Whatever happens in it, a storm ends within its time, and leaves all as it was.
func TestStorm(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, cut := range []bool{false, true} {
			ctx, cancel := context.WithCancelCause(context.Background())
			l := testLoop(t, name, WithErrors(func(error) {}))
			s := &storm{t: t, random: rand.New(rand.NewPCG(rand.Uint64(), 9)), sem: NewSemaphore(4), queue: NewQueue[int](2)}
			must(t, "Go", l.Go(func(task Task) error {
				s.conns[0], s.conns[1] = pair(t, task)
				err := task.Timeout(60*time.Millisecond, func() error {
					return task.Together(func(g *TaskGroup) error {
						for task.Context().Err() == nil {
							g.Go(func(task Task) error { s.task(0)(task); return nil })
							task.Sleep(200 * time.Microsecond)
							if cut && s.began > 100 {
								cancel(errCause)
							}
						}
						return nil
					})
				})
				if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrCanceled) && err != io.EOF {
					t.Errorf("Together: %v", err)
				}
				if s.ended != s.began {
					t.Errorf("%d of %d tasks have ended", s.ended, s.began)
				}
				if s.mutex.locked || s.inside != 0 || s.sem.free != 4 || l.outside != 0 || l.inside != 0 || l.timeouts != 0 || l.live != 1 {
					t.Errorf("left: mutex %v, %d inside, semaphore %d of 4, %d outside, %d inside the loop, %d timeouts, %d tasks",
						s.mutex.locked, s.inside, s.sem.free, l.outside, l.inside, l.timeouts, l.live)
				}
				return nil
			}))
			err := runUntil(t, l, ctx)
			if err != nil && !(cut && err == errCause) {
				t.Errorf("Run: %v", err)
			}
			if s.began < 20 {
				t.Errorf("only %d tasks began", s.began)
			}
		}
	})
}
