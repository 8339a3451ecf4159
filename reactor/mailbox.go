package reactor

import (
	"errors"
	"sync"
)

// Mailbox takes values from any goroutine to the tasks of one loop, first in, first out. NewMailbox makes one.
type Mailbox[T any] struct {
	loop     *Loop
	capacity int
	deliver  func() // what is posted
	waiters  waitQueue

	mu      sync.Mutex
	values  ring[T]
	awaited bool // somebody waits
	posted  bool // deliver is, and has not begun
}

// ErrMailboxFull is the error of Send where the mailbox holds as much as it may.
var ErrMailboxFull = errors.New("reactor: the mailbox is full")

// NewMailbox makes a mailbox for l's tasks that holds up to capacity values, and at least one. Any goroutine may call it.
func NewMailbox[T any](l *Loop, capacity int) *Mailbox[T] {
	m := &Mailbox[T]{loop: l, capacity: max(capacity, 1)}
	m.deliver = m.arrive
	return m
}

// Send puts value into the mailbox, and does not wait. The error is ErrMailboxFull, ErrLoopEnded, or ErrPostFull;
// value is not in it then. Any goroutine may call it. What is in the mailbox when its loop ends is nobody's.
func (m *Mailbox[T]) Send(value T) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.loop.posts.closed.Load(): // also while Run waits for offloaded work: no task is left to receive it
		return ErrLoopEnded
	case m.values.n == m.capacity:
		return ErrMailboxFull
	case m.awaited && !m.posted:
		if err := m.loop.Post(m.deliver); err != nil {
			return err
		}
		m.posted = true
	}
	m.values.push(value)
	return nil
}

// Receive takes the oldest value out. While there is none it waits, until one is sent, or t is canceled: then the error
// is why, and no value is lost. A canceled task gets what is there. Tasks are served in the order in which they came.
func (m *Mailbox[T]) Receive(t Task) (T, error) {
	s, err := t.current()
	if err == nil && s.loop != m.loop {
		err = ErrWrongGoroutine
	}
	if err != nil {
		return *new(T), err
	}
	if value, ok := m.take(); ok {
		return value, nil
	}
	return m.wait(s)
}

// take takes a value that is there and nobody's yet; where there is none, it has Send tell of the next.
func (m *Mailbox[T]) take() (value T, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values.n > 0 && m.waiters.candidate() == nil {
		return m.values.pop(), true
	}
	m.awaited = true
	return value, false
}

func (m *Mailbox[T]) wait(s *task) (T, error) {
	s.loop.outside++
	defer func() { s.loop.outside-- }()
	to := new(slot[T])
	err := m.waiters.wait(s, waitsForMail, 0, to)
	return to.value, err
}

// arrive gives the values to those who wait.
func (m *Mailbox[T]) arrive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for w := m.waiters.candidate(); w != nil && m.values.n > 0; w = m.waiters.candidate() {
		w.slot.(*slot[T]).give(m.values.pop())
		w.grant()
	}
	m.posted, m.awaited = false, m.waiters.candidate() != nil
}
