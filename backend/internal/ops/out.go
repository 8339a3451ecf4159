package ops

import "github.com/eyewall/eyewall/backend"

// spare is how many completions a Poll without room for any takes nevertheless, for the next: it too carries out what
// was submitted.
const spare = 64

// leftover is a completion that waits for a Poll.
type leftover struct {
	backend.Completion
	kind backend.Kind
}

// BeginPoll makes dst the place for completions until EndPoll, those that were left over first. It carries out the
// closes that waited for it.
func (t *Table) BeginPoll(dst []backend.Completion) {
	t.Stats.Polls++
	t.dst, t.n = dst, min(len(dst), len(t.queue)-t.head)
	for i := range t.n {
		from := &t.queue[t.head+i]
		dst[i] = from.Completion
		*from = leftover{}
	}
	if t.head += t.n; t.head == len(t.queue) {
		t.queue, t.head = t.queue[:0], 0
	}
	t.polling = true
	t.closeIdle()
}

// Filled is the number of completions that this Poll, and if it has no room the next, can return.
func (t *Table) Filled() int { return t.n + len(t.queue) - t.head }

// Room is how many more completions this Poll takes. An engine stops when there is none, and leaves the rest in the kernel.
func (t *Table) Room() int {
	if len(t.dst) == 0 {
		return max(0, spare-t.Filled())
	}
	return len(t.dst) - t.n
}

// EndPoll returns the number of completions in dst.
func (t *Table) EndPoll() int {
	n := t.n
	t.dst, t.n, t.polling = nil, 0, false
	t.Stats.Completions += uint64(n)
	return n
}

// slot is the place for the next completion of an operation of that kind.
func (t *Table) slot(k backend.Kind) *backend.Completion {
	if t.n < len(t.dst) && t.head == len(t.queue) {
		t.n++
		return &t.dst[t.n-1]
	}
	if len(t.queue) == cap(t.queue) && t.head > len(t.queue)/2 { // what is gone makes room for more than is moved
		n := copy(t.queue, t.queue[t.head:])
		clear(t.queue[n:])
		t.queue, t.head = t.queue[:n], 0
	}
	t.queue = append(t.queue, leftover{kind: k})
	return &t.queue[len(t.queue)-1].Completion
}

// Unreported calls do for every descriptor that was accepted and that no Poll has told of, for a backend that is being
// closed. What else no Poll has told of is dropped.
func (t *Table) Unreported(do func(fd int)) {
	for _, c := range t.queue[t.head:] {
		if c.kind == backend.Accept && c.N >= 0 {
			do(c.N)
		}
	}
	t.queue, t.head = nil, 0
}
