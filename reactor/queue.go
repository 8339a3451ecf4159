package reactor

import "errors"

// ErrQueueClosed is the error of a Queue that is closed, and empty where it is Get's.
var ErrQueueClosed = errors.New("reactor: the queue is closed")

// Queue takes values from tasks of one loop to others, first in, first out: it is what a channel is between goroutines.
// Tasks that wait for it are served in the order in which they came. NewQueue makes one; the zero Queue holds one value.
type Queue[T any] struct {
	owner            owner
	values           ring[T]
	capacity         int
	closed           bool
	putters, getters waitQueue
	slots            []*slot[T] // to be used again
}

// slot is where a task that waits has its value.
type slot[T any] struct {
	value T
	done  bool // it was taken out, or put in
}

// NewQueue makes a queue that holds up to capacity values, and at least one.
func NewQueue[T any](capacity int) *Queue[T] { return &Queue[T]{capacity: capacity} }

// Len is the number of values in the queue.
func (q *Queue[T]) Len() int {
	q.owner.mustBeHere()
	return q.values.n
}

// Put puts value in. While the queue is full it waits, until there is room, or t is canceled: then the error is why,
// and value is not in the queue. A canceled task may put in what there is room for. The error is ErrQueueClosed once
// the queue is closed, also where Put waits.
func (q *Queue[T]) Put(t Task, value T) error {
	s, err := q.owner.enter(t)
	switch {
	case err != nil:
		return err
	case q.closed:
		return ErrQueueClosed
	case q.tryPut(value):
		return nil
	}
	return q.waitToPut(s, value)
}

// TryPut puts value in if the queue is open and has room, and tells whether it has.
func (q *Queue[T]) TryPut(value T) bool {
	q.owner.mustBeHere()
	return q.tryPut(value)
}

func (q *Queue[T]) tryPut(value T) bool {
	if w := q.getters.candidate(); w != nil && !q.closed { // and so it is empty
		w.slot.(*slot[T]).give(value)
		w.grant()
		return true
	}
	if q.closed || q.values.n >= max(q.capacity, 1) {
		return false
	}
	q.values.push(value)
	return true
}

// Get takes the oldest value out. While the queue is empty it waits, until there is one, or t is canceled: then the error
// is why, and no value is lost. A canceled task gets what is there. The error is ErrQueueClosed once the queue is closed
// and empty, also where Get waits.
func (q *Queue[T]) Get(t Task) (T, error) {
	s, err := q.owner.enter(t)
	if err != nil {
		return *new(T), err
	}
	if value, ok := q.tryGet(); ok {
		return value, nil
	}
	if q.closed {
		return *new(T), ErrQueueClosed
	}
	return q.waitToGet(s)
}

// TryGet takes the oldest value out if there is one, and tells whether there was.
func (q *Queue[T]) TryGet() (value T, ok bool) {
	q.owner.mustBeHere()
	return q.tryGet()
}

func (q *Queue[T]) tryGet() (value T, ok bool) {
	if q.values.n == 0 {
		return value, false
	}
	value = q.values.pop()
	if w := q.putters.candidate(); w != nil {
		from := w.slot.(*slot[T])
		from.done = true
		q.values.push(from.value)
		w.grant()
	}
	return value, true
}

// Close closes the queue: Put is refused from now on, Get when it is empty. It does not wait, and may be called again.
func (q *Queue[T]) Close() {
	q.owner.mustBeHere()
	q.closed = true
	q.putters.grantAll()
	q.getters.grantAll()
}

func (q *Queue[T]) waitToPut(s *task, value T) error {
	from := q.newSlot()
	defer q.freeSlot(from)
	from.value = value
	err := q.putters.wait(s, waitsToPut, 0, from)
	if err == nil && !from.done {
		err = ErrQueueClosed
	}
	return err
}

func (q *Queue[T]) waitToGet(s *task) (T, error) {
	to := q.newSlot()
	defer q.freeSlot(to)
	err := q.getters.wait(s, waitsToGet, 0, to)
	if err == nil && !to.done {
		err = ErrQueueClosed
	}
	return to.value, err
}

func (s *slot[T]) give(value T) { s.value, s.done = value, true }

func (q *Queue[T]) newSlot() *slot[T] {
	last := len(q.slots) - 1
	if last < 0 {
		return new(slot[T])
	}
	s := q.slots[last]
	q.slots = q.slots[:last]
	return s
}

// maxSlots bounds how many are kept.
const maxSlots = 64

func (q *Queue[T]) freeSlot(s *slot[T]) {
	*s = slot[T]{}
	if len(q.slots) < maxSlots {
		q.slots = append(q.slots, s)
	}
}
