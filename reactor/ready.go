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
