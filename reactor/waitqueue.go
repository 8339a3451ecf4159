package reactor

// waitQueue is the tasks that wait for one thing to be granted to them, first come, first served. Each operation takes a
// constant time. The zero waitQueue is empty.
type waitQueue struct {
	head, tail *queuer
}

// queuer is a task in a waitQueue.
type queuer struct {
	task       *task
	prev, next *queuer // in the queue; next also in the loop's list of spare ones
	queued     bool
	granted    bool
	n          int64 // how much it wants, where that can differ
	slot       any   // where a value comes from or goes to, a pointer; nil where there is none
}

// waitKind names what a task waits for, but for connections and listeners, which know their tasks.
type waitKind uint8

const (
	waitsForOther waitKind = iota // a connection or a listener, or it does not wait
	waitsForChildren
	waitsForMutex
	waitsForSemaphore
	waitsForCond
	waitsForWaitGroup
	waitsForPromise
	waitsToPut
	waitsToGet
	waitsForMail
	waitsForChannel
	waitsForWork
	waitsForFirst
	waitsForEvent // a user's
	waitsForSleep
	waitsForAccept
	waitsForRecv
	waitsForRead
	waitsForWrite
	waitsForSend
	waitsForSendFile
	waitsForConnect
	waitsForPoll
	waitsForClose
	waitsForSignal
)

var waitKinds = [...]string{
	waitsForOther:     "something else",
	waitsForChildren:  "the children of its TaskGroup",
	waitsForMutex:     "Mutex.Lock",
	waitsForSemaphore: "Semaphore.Acquire",
	waitsForCond:      "Cond.Wait",
	waitsForWaitGroup: "WaitGroup.Wait",
	waitsForPromise:   "Promise.Wait",
	waitsToPut:        "Queue.Put",
	waitsToGet:        "Queue.Get",
	waitsForMail:      "Mailbox.Receive",
	waitsForChannel:   "Receive from a channel",
	waitsForWork:      "Offload",
	waitsForFirst:     "AwaitFirst",
	waitsForEvent:     "an event",
	waitsForSleep:     "Sleep",
	waitsForAccept:    "event.Accept",
	waitsForRecv:      "event.Read",
	waitsForRead:      "event.ReadInto",
	waitsForWrite:     "event.Write",
	waitsForSend:      "event.Writev",
	waitsForSendFile:  "event.SendFile",
	waitsForConnect:   "event.Connect",
	waitsForPoll:      "event.Poll",
	waitsForClose:     "event.Close",
	waitsForSignal:    "event.Signal",
}

func (k waitKind) String() string { return waitKinds[k] }

// wait waits until t's turn is granted. A task that is canceled before that leaves the queue and gets the cause; once it
// is granted the error is nil, whatever comes until the task runs again.
func (q *waitQueue) wait(t *task, kind waitKind, n int64, slot any) error {
	if err := t.refused(); err != nil {
		return err
	}
	w := t.loop.newQueuer()
	w.task, w.n, w.slot = t, n, slot
	q.push(w)
	t.loop.inside++
	defer q.leave(w) // park may end in Goexit
	for !w.granted {
		if t.canceled {
			return t.cause()
		}
		t.waits = kind
		t.park()
	}
	return nil
}

// leave ends w's wait.
func (q *waitQueue) leave(w *queuer) {
	if w.queued {
		q.remove(w)
	}
	l := w.task.loop
	l.inside--
	w.task.waits = waitsForOther
	*w = queuer{next: l.queuers}
	l.queuers = w
}

// grant gives w, which is in the queue, its turn.
func (q *waitQueue) grant(w *queuer) {
	w.task.loop.elsewhere()
	q.remove(w)
	w.granted = true
	w.task.loop.wake(w.task)
}

// first is the one whose turn is next, or nil. Those that are canceled, and have yet to hear of it, have left.
func (q *waitQueue) first() *queuer {
	for q.head != nil && q.head.task.canceled {
		q.remove(q.head)
	}
	return q.head
}

// grantFirst gives the first its turn, and tells whether there was one.
func (q *waitQueue) grantFirst() bool {
	w := q.first()
	if w == nil {
		return false
	}
	q.grant(w)
	return true
}

func (q *waitQueue) grantAll() {
	for q.grantFirst() {
	}
}

func (q *waitQueue) push(w *queuer) {
	w.queued, w.prev = true, q.tail
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
}

func (q *waitQueue) remove(w *queuer) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
}

func (l *Loop) newQueuer() *queuer {
	w := l.queuers
	if w == nil {
		return new(queuer)
	}
	l.queuers, w.next = w.next, nil
	return w
}
