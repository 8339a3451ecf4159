package reactor

import "iter"

// waitQueue is the tasks that wait for one thing, first come, first served. The zero waitQueue is empty. Each operation
// takes constant time, but those that have "all" in their names.
//
// There are two ways to serve the first task:
//
//   - A primitive grants it its turn. It leaves the queue, and has got the thing whatever happens until it runs.
//   - A connection or a listener wakes it. It stays the first until it has run, so that no task that comes meanwhile
//     goes ahead of it. It must wake the next one if there is something left.
type waitQueue struct {
	last *queuer // of a ring, whose next is the first; nil if the queue is empty
}

// queuer is a place in a waitQueue. Each task has one, since a task waits for one thing at a time.
type queuer struct {
	task       *task
	queue      *waitQueue // that it is in, or nil
	prev, next *queuer
	granted    bool
	n          int64 // depends on the queue: how much the task wants, or how much it got
	slot       any   // a pointer to a value that is handed over, or the error with which the turn is granted, or nil
}

func (q *waitQueue) empty() bool { return q.last == nil }

// first is the place that is served next, or nil.
func (q *waitQueue) first() *queuer {
	if q.last == nil {
		return nil
	}
	return q.last.next
}

// serves reports whether w would be served next, were there something to serve it with: w is first, or nobody waits.
func (q *waitQueue) serves(w *queuer) bool { return q.last == nil || q.last.next == w }

// push puts w at the end.
func (q *waitQueue) push(w *queuer) {
	w.queue = q
	if q.last == nil {
		w.prev, w.next = w, w
	} else {
		w.prev, w.next = q.last, q.last.next
		w.prev.next, w.next.prev = w, w
	}
	q.last = w
}

// leave takes w out of the queue that it is in, if any.
func (w *queuer) leave() {
	q := w.queue
	switch {
	case q == nil:
		return
	case w.next == w:
		q.last = nil
	default:
		w.prev.next, w.next.prev = w.next, w.prev
		if q.last == w {
			q.last = w.prev
		}
	}
	w.queue, w.prev, w.next = nil, nil, nil
}

// park parks t in the queue until something wakes it.
func (q *waitQueue) park(t *task) {
	q.push(&t.turn)
	t.park()
	t.turn.leave()
}

// wakeFirst makes the first task ready.
func (q *waitQueue) wakeFirst() {
	if w := q.first(); w != nil {
		w.task.loop.wake(w.task)
	}
}

// wakeAll makes all tasks ready: each has something to be told.
func (q *waitQueue) wakeAll() {
	for w := range q.all() {
		w.task.loop.wake(w.task)
	}
}

// all is every place, the first one first. The queue must not change meanwhile.
func (q *waitQueue) all() iter.Seq[*queuer] {
	return func(yield func(*queuer) bool) {
		for w := q.first(); w != nil && yield(w) && w != q.last; w = w.next {
		}
	}
}

// releaseAll takes all tasks out and makes them ready.
func (q *waitQueue) releaseAll() {
	for w := q.first(); w != nil; w = q.first() {
		w.leave()
		w.task.loop.wake(w.task)
	}
}

// wait waits until t's turn is granted. A task that is canceled before that leaves the queue and gets the cause. Once
// its turn is granted the error is nil, whatever happens until the task runs again.
func (q *waitQueue) wait(t *task, kind waitKind, n int64, slot any) error {
	if err := t.refused(); err != nil {
		return err
	}
	w := &t.turn
	w.n, w.slot = n, slot
	q.push(w)
	t.loop.inside++
	defer t.endTurn() // park may end in Goexit
	for !w.granted {
		if t.canceled {
			return t.cause()
		}
		t.waits = kind
		t.park()
	}
	return nil
}

// endTurn ends the wait for a turn.
func (t *task) endTurn() {
	t.turn.leave()
	t.turn.granted, t.turn.slot = false, nil
	t.loop.inside--
	t.waits = waitsForOther
}

// grant gives w its turn.
func (w *queuer) grant() {
	w.leave()
	w.granted = true
	w.task.loop.wake(w.task)
}

// outcome is the error with which w's turn was granted. It makes w ready for the next wait.
func (w *queuer) outcome() error {
	err, _ := w.slot.(error)
	w.granted, w.slot = false, nil
	return err
}

// candidate is the place whose turn is next, or nil. Tasks that are canceled, and have not run since, leave the queue.
func (q *waitQueue) candidate() *queuer {
	w := q.first()
	for w != nil && w.task.canceled {
		w.leave()
		w = q.first()
	}
	return w
}

// grantFirst gives the first its turn, and reports whether there was one.
func (q *waitQueue) grantFirst() bool {
	w := q.candidate()
	if w == nil {
		return false
	}
	w.grant()
	return true
}

func (q *waitQueue) grantAll() {
	for q.grantFirst() {
	}
}
