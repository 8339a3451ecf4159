// Package timers is a heap of timers for one goroutine: those of equal time expire in the order they were set.
package timers

import "time"

// Timer is one timer. It lies within what it times, so that setting one allocates nothing. Set Value once.
type Timer[T any] struct {
	Value T
	when  time.Duration
	seq   uint64
	pos   int // 1 + index in the heap; 0 when not set
}

// When is the time that the timer was last set to.
func (t *Timer[T]) When() time.Duration { return t.when }

// Active tells whether the timer is set and has not expired.
func (t *Timer[T]) Active() bool { return t.pos != 0 }

// Heap orders timers by time, then by the order they were set in. The zero Heap is empty.
type Heap[T any] struct {
	items []*Timer[T] // a heap of four children each: shallower than two, and they share a cache line
	seq   uint64
}

// Set sets t, or moves it if it is set.
func (h *Heap[T]) Set(t *Timer[T], when time.Duration) {
	h.seq++
	t.when, t.seq = when, h.seq
	if t.pos == 0 {
		h.items = append(h.items, t)
		t.pos = len(h.items)
	}
	h.down(h.up(t.pos - 1))
}

// Stop takes t out, and tells whether it was set.
func (h *Heap[T]) Stop(t *Timer[T]) bool {
	if t.pos == 0 {
		return false
	}
	i, last := t.pos-1, len(h.items)-1
	moved := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	t.pos = 0
	if i < last {
		h.put(i, moved)
		h.down(h.up(i))
	}
	return true
}

// Next is the time of the first timer; ok is false when there is none.
func (h *Heap[T]) Next() (when time.Duration, ok bool) {
	if len(h.items) == 0 {
		return 0, false
	}
	return h.items[0].when, true
}

// Expire takes out the first timer if its time has come, else returns nil.
func (h *Heap[T]) Expire(now time.Duration) *Timer[T] {
	if len(h.items) == 0 || h.items[0].when > now {
		return nil
	}
	t := h.items[0]
	h.Stop(t)
	return t
}

// Len is the number of timers that are set.
func (h *Heap[T]) Len() int { return len(h.items) }

func (a *Timer[T]) before(b *Timer[T]) bool {
	return a.when < b.when || a.when == b.when && a.seq < b.seq
}

func (h *Heap[T]) put(i int, t *Timer[T]) {
	h.items[i] = t
	t.pos = i + 1
}

func (h *Heap[T]) up(i int) int {
	t := h.items[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !t.before(h.items[parent]) {
			break
		}
		h.put(i, h.items[parent])
		i = parent
	}
	h.put(i, t)
	return i
}

func (h *Heap[T]) down(i int) {
	t := h.items[i]
	for {
		first := 4*i + 1
		if first >= len(h.items) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h.items)); c++ {
			if h.items[c].before(h.items[least]) {
				least = c
			}
		}
		if !h.items[least].before(t) {
			break
		}
		h.put(i, h.items[least])
		i = least
	}
	h.put(i, t)
}
