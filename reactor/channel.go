package reactor

// Receive receives from a channel of other goroutines without holding up the loop: it returns what v, ok := <-ch does.
// Where t is canceled before anything came the error is why, and nothing is taken from the channel. A canceled task gets
// what is there. While it waits it has a goroutine wait for it, so that for much traffic a Mailbox is better.
func Receive[T any](t Task, ch <-chan T) (T, bool, error) {
	s, err := t.current()
	if err != nil {
		return *new(T), false, err
	}
	select {
	case v, ok := <-ch:
		return v, ok, nil
	default:
	}
	if err := s.refused(); err != nil {
		return *new(T), false, err
	}
	r := &receipt[T]{loop: s.loop, task: s, stop: make(chan struct{})}
	go r.receive(ch)
	return r.wait()
}

// receipt is what a goroutine receives for a task.
type receipt[T any] struct {
	loop  *Loop
	task  *task // nil when it no longer waits
	stop  chan struct{}
	over  bool
	value T
	ok    bool
	got   bool // something, or the end
}

func (r *receipt[T]) receive(ch <-chan T) {
	select {
	case r.value, r.ok = <-ch:
		r.got = true
	case <-r.stop:
	}
	r.loop.mustPost(func() {
		if r.over = true; r.task != nil {
			r.loop.wake(r.task)
		}
	})
}

// wait waits for the goroutine, also where it stops that.
func (r *receipt[T]) wait() (T, bool, error) {
	s := r.task
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			close(r.stop)
		}
	}
	r.loop.outside++
	s.waits = waitsForChannel
	defer func() { // park may end in Goexit
		r.loop.outside--
		s.waits = waitsForOther
		r.task = nil
		stop()
	}()
	for !r.over {
		if s.canceled {
			stop()
		}
		s.park()
	}
	if !r.got {
		return *new(T), false, s.cause()
	}
	return r.value, r.ok, nil
}
