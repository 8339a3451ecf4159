package reactor

import (
	"errors"
	"slices"
	"sync"
)

const (
	defaultWorkers = 16
	defaultOffload = 1024
)

// offload is a loop's goroutines for work that may block. There are no more than are at work.
type offload struct {
	mu      sync.Mutex
	workers int    // that run
	queue   []*job // the oldest first
	lost    error  // a panic that came when the loop had ended

	running sync.WaitGroup // the workers
}

// job is a function for a worker. But for fn and loop it belongs to the loop, once it is done.
type job struct {
	loop     *Loop
	fn       func() error
	task     *task // that waits for it; nil when it no longer does
	over     bool
	err      error
	panicked *PanicError
}

// Offload runs fn, which may block, on a goroutine of its own while t waits, and returns what fn does. A panic of fn is
// raised again in the task, as a *PanicError.
//
// There is a bounded number of such goroutines (WithOffload); beyond it work waits in a bounded queue, and where that is
// full the error is ErrOffloadFull at once. When t is canceled, work that has not begun is dropped, and Offload returns
// the cause. Work that has begun goes on, though nobody hears of its result (but for a panic, which ends the loop), so
// that it must not touch what is not its own any more; Run returns only when it has ended. Work that can end early
// should heed Task.Context, which is to be asked for before.
func Offload(t Task, fn func() error) error {
	s, err := t.current()
	if err != nil {
		return err
	}
	if err := s.refused(); err != nil {
		return err
	}
	l := s.loop
	j := &job{loop: l, fn: fn, task: s}
	if err := l.offload.add(j); err != nil {
		return err
	}
	l.outside++
	s.waits = waitsForWork
	defer func() { // park may end in Goexit
		l.outside--
		s.waits = waitsForOther
		j.task = nil
		if !j.over {
			l.offload.drop(j)
		}
	}()
	for !j.over {
		if s.canceled {
			return s.cause()
		}
		s.park()
	}
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

// add gives j to a worker, now or later.
func (o *offload) add(j *job) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch opt := &j.loop.opt; {
	case o.workers < opt.workers:
		o.workers++
		o.running.Go(func() { o.work(j) })
	case len(o.queue) < opt.backlog:
		o.queue = append(o.queue, j)
	default:
		return ErrOffloadFull
	}
	return nil
}

// drop takes j out, unless it has begun.
func (o *offload) drop(j *job) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.queue, j); i >= 0 {
		o.queue = slices.Delete(o.queue, i, i+1)
	}
}

// work runs j, and then what waits.
func (o *offload) work(j *job) {
	defer func() {
		if j != nil { // which called Goexit
			if j = o.next(); j != nil {
				o.running.Go(func() { o.work(j) })
			}
		}
	}()
	for ; j != nil; j = o.next() {
		j.run()
	}
}

// next is the job that waited longest; nil, and a worker less, where none does.
func (o *offload) next() *job {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		o.workers--
		return nil
	}
	j := o.queue[0]
	o.queue[0] = nil
	o.queue = o.queue[1:]
	return j
}

// run runs j on the worker, and tells the loop.
func (j *job) run() {
	err := errOffloadGoexit
	defer func() {
		if v := recover(); v != nil {
			j.panicked = newPanicError(v)
		}
		j.err = err
		l := j.loop
		if l.mustPost(j.done) != nil && j.panicked != nil {
			l.offload.mu.Lock()
			l.offload.lost = j.panicked
			l.offload.mu.Unlock()
		}
	}()
	err = j.fn()
}

// done is called on the loop.
func (j *job) done() {
	j.over = true
	switch l := j.loop; {
	case j.task != nil:
		l.wake(j.task)
	case j.panicked == nil:
	case l.opt.containPanics:
		l.report(j.panicked)
	default:
		l.fail(j.panicked)
	}
}

// join waits until no worker runs any more, once the loop has no task, and returns the panic that came too late.
func (o *offload) join() error {
	o.running.Wait()
	return o.lost
}

var errOffloadGoexit = errors.New("reactor: what was given to Offload has called runtime.Goexit")
