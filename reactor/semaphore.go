package reactor

import "fmt"

// Semaphore bounds how much of something the tasks of one loop use at a time. Whoever wants some gets it in the order of
// coming: one that wants much is not passed by those that want little. NewSemaphore makes one.
type Semaphore struct {
	owner      owner
	size, free int64
	waiters    waitQueue
}

// NewSemaphore makes a semaphore of that size, all of it free.
func NewSemaphore(size int64) *Semaphore { return &Semaphore{size: size, free: size} }

// Acquire waits until n are t's, or t is canceled: then the error is why, and none is. A canceled task gets what is
// free. More than there are altogether is an error at once.
func (s *Semaphore) Acquire(t Task, n int64) error {
	c, err := s.owner.enter(t)
	switch {
	case err != nil:
		return err
	case n > s.size:
		return fmt.Errorf("reactor: Acquire of %d from a Semaphore of %d would wait for ever", n, s.size)
	case s.tryAcquire(n):
		return nil
	}
	if err = s.waiters.wait(c, waitsForSemaphore, n, nil); err != nil {
		s.grant() // those who came after it may want less
	}
	return err
}

// TryAcquire takes n if they are free and nobody waits, and tells whether it has.
func (s *Semaphore) TryAcquire(n int64) bool {
	s.owner.mustBeHere()
	return s.tryAcquire(n)
}

func (s *Semaphore) tryAcquire(n int64) bool {
	if n < 0 {
		panic("reactor: Semaphore: a negative number")
	}
	if s.free < n || s.waiters.candidate() != nil {
		return false
	}
	s.free -= n
	return true
}

// Release gives n back. Any task, or posted function, may do it; it panics where more come back than were taken.
func (s *Semaphore) Release(n int64) {
	s.owner.mustBeHere()
	if n < 0 || n > s.size-s.free {
		panic("reactor: Semaphore: more is released than was acquired")
	}
	s.free += n
	s.grant()
}

// grant gives what is free to those who wait, as far as it goes.
func (s *Semaphore) grant() {
	for w := s.waiters.candidate(); w != nil && w.n <= s.free; w = s.waiters.candidate() {
		s.free -= w.n
		w.grant()
	}
}
