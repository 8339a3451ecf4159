package reactor

// readyQueue is the tasks to be resumed, first in, first out.
type readyQueue struct {
	head, tail *task
	n          int
}

func (q *readyQueue) push(t *task) {
	if q.tail == nil {
		q.head = t
	} else {
		q.tail.nextReady = t
	}
	q.tail = t
	q.n++
}

func (q *readyQueue) pop() *task {
	t := q.head
	q.head, t.nextReady = t.nextReady, nil
	if q.head == nil {
		q.tail = nil
	}
	q.n--
	return t
}

// waitList is the tasks that wait for one thing, in the order in which they came. A task is in one list at most.
type waitList struct {
	head *task
}

func (w *waitList) push(t *task) {
	at := &w.head
	for *at != nil {
		at = &(*at).nextWaiter
	}
	*at = t
}

// remove takes t out, if it is there.
func (w *waitList) remove(t *task) {
	for at := &w.head; *at != nil; at = &(*at).nextWaiter {
		if *at == t {
			*at, t.nextWaiter = t.nextWaiter, nil
			return
		}
	}
}

// wake makes all of them ready; each takes itself out, or waits on.
func (w *waitList) wake(l *Loop) {
	for t := w.head; t != nil; t = t.nextWaiter {
		l.wake(t)
	}
}

// release takes all of them out and makes them ready.
func (w *waitList) release(l *Loop) {
	for t := w.head; t != nil; t = w.head {
		w.head, t.nextWaiter = t.nextWaiter, nil
		l.wake(t)
	}
}

// wait parks t in the list once.
func (w *waitList) wait(t *task) {
	w.push(t)
	t.park()
	w.remove(t)
}
