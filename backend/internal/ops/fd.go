package ops

import "github.com/eyewall/eyewall/backend"

// FD is what is known of a descriptor, from the first operation on it to its Close.
type FD struct {
	Num     int32
	State   uint32          // the engine's own; 0 at first and after CloseFD
	emitted uint32          // the Poll, by its number, in which its multishot operation last called Emit; 0: none
	queues  [directions]*Op // each the last of a ring, whose next is the first; nil when empty
	closing *Op             // the Close that waits for the others
}

type direction uint8

const (
	reading direction = iota
	writing
	polling // no order: all of them have begun
	directions
)

func (o *Op) direction() direction {
	switch o.Kind {
	case backend.Connect, backend.Send, backend.SendFile, backend.Write:
		return writing
	case backend.Poll:
		return polling
	}
	return reading
}

// Reading and Writing are the operation that the engine has begun in that direction, or nil.
func (f *FD) Reading() *Op { return f.first(reading) }
func (f *FD) Writing() *Op { return f.first(writing) }

// Polled tells whether there is a Poll on f.
func (f *FD) Polled() bool { return f.queues[polling] != nil }

// Polls calls do for every Poll on f at this moment. It may finish the one it is called with, and no other.
func (f *FD) Polls(do func(*Op)) {
	o, last := f.first(polling), f.queues[polling]
	for o != nil {
		next, end := o.next, o == last
		do(o)
		if end {
			return
		}
		o = next
	}
}

func (f *FD) first(d direction) *Op {
	if last := f.queues[d]; last != nil {
		return last.next
	}
	return nil
}

// append puts o at the end of a queue, and reports whether it is the first there.
func (f *FD) append(d direction, o *Op) bool {
	last := f.queues[d]
	f.queues[d] = o
	if last == nil {
		o.next, o.prev = o, o
		return true
	}
	o.next, o.prev = last.next, last
	last.next.prev = o
	last.next = o
	return false
}

// unlink takes o out of its queue and returns the one that is first then.
func (f *FD) unlink(d direction, o *Op) *Op {
	if o.next == o {
		f.queues[d] = nil
		return nil
	}
	o.prev.next, o.next.prev = o.next, o.prev
	if o == f.queues[d] {
		f.queues[d] = o.prev
	}
	return f.queues[d].next
}
