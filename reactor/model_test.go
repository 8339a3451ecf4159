package reactor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is a primitive beside what it should do, in a few lines of its own.
type model interface {
	// wait returns what a new task waits with, and notes what is to come of that.
	wait(w *modelWait, n int) func(Task) error
	// act does something that does not wait, and tells whether the result is right.
	act(n int) bool
	// settle is called when all who were canceled have heard of it.
	settle()
	// leave is called of one that is canceled.
	leave(w *modelWait)
	// right tells whether the primitive's own state is.
	right() bool
}

// modelWait is a task's wait, as it should be and as it is.
type modelWait struct {
	task     Task
	n        int // how much it wants, or what it puts
	granted  bool
	canceled bool
	value    int // what it should get

	ended bool
	err   error
	got   int
}

// line is those who wait, the first to come first.
type line struct {
	waits []*modelWait
}

func (l *line) add(w *modelWait) { l.waits = append(l.waits, w) }

func (l *line) leave(w *modelWait) {
	if i := slices.Index(l.waits, w); i >= 0 {
		l.waits = slices.Delete(l.waits, i, i+1)
	}
}

func (l *line) grant() *modelWait {
	if len(l.waits) == 0 {
		return nil
	}
	w := l.waits[0]
	l.waits = l.waits[1:]
	w.granted = true
	return w
}

// modelSemaphore is a Semaphore of 3.
type modelSemaphore struct {
	line
	s    *Semaphore
	free int
}

func (m *modelSemaphore) fits(n int) bool { return n <= m.free && len(m.waits) == 0 }

func (m *modelSemaphore) wait(w *modelWait, n int) func(Task) error {
	w.n = n % 4
	if w.granted = m.fits(w.n); w.granted {
		m.free -= w.n
	} else {
		m.add(w)
	}
	return func(task Task) error { return m.s.Acquire(task, int64(w.n)) }
}

func (m *modelSemaphore) act(n int) bool {
	if n%2 == 0 {
		n = n / 2 % 4
		fits := m.fits(n)
		if fits {
			m.free -= n
		}
		return m.s.TryAcquire(int64(n)) == fits
	}
	if n = n / 2 % 4; n > 3-m.free {
		return true
	}
	m.free += n
	m.settle()
	m.s.Release(int64(n))
	return true
}

func (m *modelSemaphore) settle() {
	for len(m.waits) > 0 && m.waits[0].n <= m.free {
		m.free -= m.grant().n
	}
}

func (m *modelSemaphore) right() bool { return m.s.free == int64(m.free) }

// modelMutex is a Mutex.
type modelMutex struct {
	line
	m      Mutex
	locked bool
}

func (m *modelMutex) wait(w *modelWait, _ int) func(Task) error {
	if w.granted = !m.locked; w.granted {
		m.locked = true
	} else {
		m.add(w)
	}
	return m.m.Lock
}

func (m *modelMutex) act(n int) bool {
	if n%3 == 0 {
		free := !m.locked
		m.locked = true
		return m.m.TryLock() == free
	}
	if m.locked {
		m.locked = m.grant() != nil
		m.m.Unlock()
	}
	return true
}

func (m *modelMutex) settle()     {}
func (m *modelMutex) right() bool { return m.m.locked == m.locked }

// modelCond is a Cond.
type modelCond struct {
	line
	c Cond
}

func (m *modelCond) wait(w *modelWait, _ int) func(Task) error {
	m.add(w)
	return m.c.Wait
}

func (m *modelCond) act(n int) bool {
	if n%8 != 0 {
		return m.c.Signal() == (m.grant() != nil)
	}
	for m.grant() != nil {
	}
	m.c.Broadcast()
	return true
}

func (m *modelCond) settle()     {}
func (m *modelCond) right() bool { return true }

// modelQueue is a Queue of 2.
type modelQueue struct {
	q                *Queue[int]
	values           []int
	putters, getters line
	closed           bool
	last             int // that was put in
}

func (m *modelQueue) put(v int) bool {
	switch {
	case m.closed:
	case len(m.getters.waits) > 0:
		m.getters.grant().value = v
		return true
	case len(m.values) < 2:
		m.values = append(m.values, v)
		return true
	}
	return false
}

func (m *modelQueue) get() int {
	v := m.values[0]
	m.values = m.values[1:]
	if w := m.putters.grant(); w != nil {
		m.values = append(m.values, w.n)
	}
	return v
}

func (m *modelQueue) wait(w *modelWait, n int) func(Task) error {
	if n%2 == 0 {
		m.last++
		w.n = m.last
		if w.granted = m.put(w.n) || m.closed; !w.granted {
			m.putters.add(w)
		}
		closed := m.closed
		return func(task Task) error { return expected(m.q.Put(task, w.n), closed || m.closed) }
	}
	switch {
	case len(m.values) > 0:
		w.granted, w.value = true, m.get()
	case m.closed:
		w.granted = true
	default:
		m.getters.add(w)
	}
	return func(task Task) (err error) {
		w.got, err = m.q.Get(task)
		return expected(err, m.closed)
	}
}

// expected is err, but for what a queue that is closed gives.
func expected(err error, closed bool) error {
	if closed && err == ErrQueueClosed {
		return nil
	}
	return err
}

func (m *modelQueue) act(n int) bool {
	switch {
	case n%32 == 31:
		m.closed = true
		for m.putters.grant() != nil || m.getters.grant() != nil {
		}
		m.q.Close()
		return true
	case n%2 == 0:
		m.last++
		return m.put(m.last) == m.q.TryPut(m.last)
	}
	there, want := len(m.values) > 0, 0
	if there {
		want = m.get()
	}
	v, ok := m.q.TryGet()
	return ok == there && v == want
}

func (m *modelQueue) leave(w *modelWait) {
	m.putters.leave(w)
	m.getters.leave(w)
}

func (m *modelQueue) settle()     {}
func (m *modelQueue) right() bool { return m.q.Len() == len(m.values) }

var models = []func() model{
	func() model { return &modelSemaphore{s: NewSemaphore(3), free: 3} },
	func() model { return new(modelMutex) },
	func() model { return new(modelCond) },
	func() model { return &modelQueue{q: NewQueue[int](2)} },
}

// follow does with a primitive what script says, byte by byte, and compares it with its model. What happens between two
// rests happens at once, so that some are canceled just before they are granted something, and some just after.
func follow(task Task, script []byte) error {
	if len(script) == 0 {
		return nil
	}
	m := models[int(script[0])%len(models)]()
	var waits []*modelWait
	rest := func() {
		task.Yield()
		for task.Loop().ready.n > 0 {
			task.Yield()
		}
		m.settle()
	}
	defer func() {
		for _, w := range waits {
			w.task.Cancel()
		}
		rest()
	}()
	for at, b := range script[1:] {
		switch n := int(b >> 2); b & 3 {
		case 0: // somebody comes
			rest()
			w := new(modelWait)
			wait := m.wait(w, n)
			waits = append(waits, w)
			w.task = task.Go(func(task Task) error {
				w.err = wait(task)
				w.ended = true
				return nil
			})
			rest()
		case 1: // somebody goes
			if len(waits) == 0 {
				break
			}
			w := waits[n%len(waits)]
			if !w.granted && !w.canceled {
				w.canceled = true
				m.leave(w)
			}
			w.task.CancelCause(errCause)
		case 2:
			if !m.act(n) {
				return fmt.Errorf("%T: the result of step %d is wrong", m, at)
			}
		case 3:
			rest()
		}
		if b&3 == 1 || b&3 == 2 {
			continue
		}
		if !m.right() {
			return fmt.Errorf("%T: its state is wrong after step %d", m, at)
		}
		for i, w := range waits {
			switch {
			case w.ended != (w.granted || w.canceled):
				return fmt.Errorf("%T: after step %d task %d has ended: %v; it was granted: %v, canceled: %v", m, at, i, w.ended, w.granted, w.canceled)
			case w.ended && (w.canceled && w.err != errCause || w.granted && w.err != nil):
				return fmt.Errorf("%T: after step %d task %d has the error %v; it was granted: %v, canceled: %v", m, at, i, w.err, w.granted, w.canceled)
			case w.got != w.value:
				return fmt.Errorf("%T: task %d got %d, want %d", m, i, w.got, w.value)
			}
		}
	}
	return nil
}

// Whatever is done with a primitive, in whatever order, it does what its model does.
func TestPrimitivesLikeTheirModels(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for range 400 {
				script := make([]byte, 60)
				for i := range script {
					script[i] = byte(rand.Uint32())
				}
				if err := follow(task, script); err != nil {
					t.Fatalf("%v; the script is %#v", err, script)
				}
			}
		})
	})
}

func FuzzPrimitives(f *testing.F) {
	f.Add([]byte{0, 12, 4, 8, 1, 6, 3})
	f.Fuzz(func(t *testing.T, script []byte) {
		run(t, "select", func(task Task) {
			if err := follow(task, script); err != nil {
				t.Error(err)
			}
		})
	})
}
