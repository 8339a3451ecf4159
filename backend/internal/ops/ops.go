// Package ops is what every backend of eyewall's own keeps: the operations in flight, the descriptors' queues, the
// deadlines and the completions that wait for Poll. What differs between kernels' interfaces is behind [Engine].
package ops

import (
	"syscall"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/timers"
)

// Engine carries operations out. Each operation that began gets exactly one Finish from it, never within Begin.
type Engine interface {
	// Begin starts o, which is the first of its descriptor and direction (or one of several, for backend.Poll).
	Begin(o *Op)
	// Abort asks for an early end of o, which has begun: Finish follows, here or later, with a real result if there is
	// one, else with o.Cause(). It comes once for an operation.
	Abort(o *Op)
	// CloseFD closes the descriptor, on which nothing is in flight any more, and forgets it. It comes within Poll.
	CloseFD(f *FD) error
}

// Op is an operation in flight. It lies in a slab that never moves, and is named outside by its token.
type Op struct {
	Kind      backend.Kind
	Multishot bool
	State     uint8 // the engine's own; 0 at Begin
	cause     cause // why it is to end early
	Events    int16
	begun     bool // the engine has it
	live      bool // submitted and not finished

	slot, generation uint32

	FD    *FD
	Sink  backend.Sink
	Extra *Extra // nil unless the operation has what lies there
	next  *Op    // in the queue of its direction, a ring; in the slab's free list
}

// Extra is what an operation needs that does not just wait, as an Accept does, or a Recv that is lent what comes: those
// are the many.
type Extra struct {
	Moved int // bytes of Send, SendFile and Write done so far, the events of Poll; the engine keeps it
	Buf   []byte
	Bufs  [][]byte
	Addr  []byte
	Lease backend.Lease
	File  *backend.File
	timer timers.Timer[*Op] // the deadline
	next  *Extra            // in the free list
}

// FD is what is known of a descriptor, from the first operation on it to its Close.
type FD struct {
	Num     int32
	State   uint32          // the engine's own; 0 at first and after CloseFD
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

// Polls calls do for every Poll on f. It may finish the one it is called with.
func (f *FD) Polls(do func(*Op)) {
	f.each(polling, do)
}

func (f *FD) first(d direction) *Op {
	if last := f.queues[d]; last != nil {
		return last.next
	}
	return nil
}

// each calls do for those in the queue at this moment; do may take out the one it is called with.
func (f *FD) each(d direction, do func(*Op)) {
	o, last := f.first(d), f.queues[d]
	for o != nil {
		next, end := o.next, o == last
		do(o)
		if end {
			return
		}
		o = next
	}
}

// Token names the operation.
func (o *Op) Token() backend.Token { return backend.MakeToken(o.slot, o.generation) }

// Moved is how much is done of it, for all kinds.
func (o *Op) Moved() int {
	if o.Extra == nil {
		return 0
	}
	return o.Extra.Moved
}

// Lent tells whether it is lent what comes.
func (o *Op) Lent() bool {
	return o.Kind == backend.Recv && (o.Extra == nil || o.Extra.Buf == nil) || o.Kind == backend.Splice
}

// Aborted tells whether Abort was asked for.
func (o *Op) Aborted() bool { return o.cause != 0 }

// Cause is the error with which an operation that ends early completes; nil if it need not end.
func (o *Op) Cause() error { return o.cause.err() }

type cause uint8

const (
	canceled cause = iota + 1
	deadline
	closed
)

func (c cause) err() error {
	switch c {
	case canceled:
		return backend.ErrCanceled
	case deadline:
		return backend.ErrDeadline
	case closed:
		return backend.ErrClosed
	}
	return nil
}

const (
	chunk         = 1024    // operations, and descriptors, in a piece of their tables
	defaultMaxOps = 1 << 20 // Config.MaxOps
	maxFD         = 1 << 24 // no system has higher descriptors; it keeps the table from growing for a mere mistake
)

// Table is the operations of one backend. The backend's thread drives it.
type Table struct {
	engine Engine
	max    int

	ops  []*[chunk]Op // by slot
	free *Op
	live int // operations in flight

	fds       []*[chunk]FD // by descriptor
	freeExtra *Extra

	deadlines timers.Heap[*Op]

	polling  bool  // from BeginPoll to EndPoll
	closable []*FD // nothing is in flight on them, and their Close waits for Poll

	dst   []backend.Completion // Poll's, while it runs
	n     int                  // filled of dst
	queue []leftover           // what did not fit, or came between Polls; oldest first
	head  int                  // of queue

	Stats backend.Stats // the engine counts system calls
}

// New makes a table; maxOps is Config.MaxOps.
func New(e Engine, maxOps int) *Table {
	if maxOps == 0 {
		maxOps = defaultMaxOps
	}
	return &Table{engine: e, max: maxOps}
}

// Submit is Backend.Submit.
func (t *Table) Submit(op *backend.Op) backend.Token {
	o := t.alloc()
	t.Stats.Submitted++
	o.Kind, o.Multishot, o.Events, o.Sink = op.Kind, op.Multishot, op.Events, op.Sink
	token := o.Token()
	if err := op.Check(); err != nil {
		t.reject(o, err)
		return token
	}
	if op.FD > maxFD {
		t.reject(o, syscall.EBADF)
		return token
	}
	if t.live > t.max && op.Kind != backend.Close { // which is how there will be fewer, and can come but once for each
		t.reject(o, backend.ErrTooManyOps)
		return token
	}
	f := t.FD(op.FD)
	if f.closing != nil {
		t.reject(o, backend.ErrClosed)
		return token
	}
	o.FD = f
	if op.Kind == backend.Close {
		t.close(o)
		return token
	}
	d := o.direction()
	if d != reading || op.Buf != nil || op.Deadline != 0 {
		t.extend(o, op)
	}
	last := f.queues[d]
	f.queues[d] = o
	if last == nil {
		o.next = o
	} else {
		o.next, last.next = last.next, o
	}
	if last == nil || d == polling {
		t.begin(o)
	}
	return token
}

// Cancel is Backend.Cancel.
func (t *Table) Cancel(token backend.Token) {
	if o := t.Lookup(token); o != nil && o.Kind != backend.Close {
		t.abort(o, canceled)
	}
}

// Lookup finds the operation in flight that token names, or nil.
func (t *Table) Lookup(token backend.Token) *Op {
	slot := token.Slot()
	if int(slot/chunk) >= len(t.ops) {
		return nil
	}
	o := &t.ops[slot/chunk][slot%chunk]
	if !o.live || o.generation != token.Generation() {
		return nil
	}
	return o
}

// FD finds a descriptor, which need not be known yet. num is neither negative nor above maxFD.
func (t *Table) FD(num int) *FD {
	for num/chunk >= len(t.fds) {
		t.fds = append(t.fds, nil)
	}
	c := t.fds[num/chunk]
	if c == nil {
		c = new([chunk]FD)
		for i := range c {
			c[i].Num = int32(num/chunk*chunk + i)
		}
		t.fds[num/chunk] = c
	}
	return &c[num%chunk]
}

// Each calls do for every operation in flight that has begun; do may finish it.
func (t *Table) Each(do func(*Op)) {
	for _, c := range t.ops {
		for i := range c {
			if c[i].live && c[i].begun {
				do(&c[i])
			}
		}
	}
}

// Live is the number of operations in flight.
func (t *Table) Live() int { return t.live }

// Emit reports a completion of o that others will follow. data is nil or lent under lease.
func (t *Table) Emit(o *Op, n int, data []byte, lease backend.Lease) {
	c := t.slot(o.Kind)
	*c = backend.Completion{Token: o.Token(), Sink: o.Sink, N: n, Data: data, Lease: lease, More: true}
}

// Finish reports the final completion of o, and begins what waited behind it.
func (t *Table) Finish(o *Op, n int, err error, data []byte, lease backend.Lease) {
	f, d := o.FD, o.direction()
	next := t.end(o, n, err, data, lease)
	if f == nil {
		return
	}
	for next != nil && !next.begun && f.closing != nil {
		next = t.end(next, 0, backend.ErrClosed, nil, 0)
	}
	if next != nil && !next.begun {
		t.begin(next)
	}
	if f.queues[d] == nil {
		t.tryClose(f)
	}
}

// end reports the final completion of o and frees it. It returns the one that is first of its queue then.
func (t *Table) end(o *Op, n int, err error, data []byte, lease backend.Lease) (next *Op) {
	if o.Kind == backend.Accept && err != nil {
		n = -1
	}
	c := t.slot(o.Kind)
	*c = backend.Completion{Token: o.Token(), Sink: o.Sink, N: n, Err: err, Data: data, Lease: lease}
	if o.FD != nil && o.Kind != backend.Close {
		next = t.unlink(o.FD, o.direction(), o)
	}
	t.release(o)
	return next
}

// Expire ends the operations whose deadline has come.
func (t *Table) Expire(now time.Duration) {
	for timer := t.deadlines.Expire(now); timer != nil; timer = t.deadlines.Expire(now) {
		t.abort(timer.Value, deadline)
	}
}

// NextDeadline is the earlier of until and the first deadline.
func (t *Table) NextDeadline(until time.Duration) time.Duration {
	if when, ok := t.deadlines.Next(); ok {
		return min(until, when)
	}
	return until
}

func (t *Table) begin(o *Op) {
	o.begun = true
	t.engine.Begin(o)
}

// abort ends o early. The first reason stands.
func (t *Table) abort(o *Op, why cause) {
	if o.cause != 0 {
		return
	}
	o.cause = why
	if o.begun {
		t.engine.Abort(o)
	} else {
		t.Finish(o, 0, o.Cause(), nil, 0)
	}
}

// close ends the other operations of o's descriptor, each queue from its head on; Poll closes it after the last.
func (t *Table) close(o *Op) {
	f := o.FD
	f.closing = o
	for d := range directions {
		f.each(d, func(o *Op) {
			if o.begun {
				t.abort(o, closed)
			}
		})
	}
	t.tryClose(f)
}

// tryClose closes f if that is what is left to do. It waits for Poll, for until then operations can be submitted that
// have to end before.
func (t *Table) tryClose(f *FD) {
	switch {
	case f.closing == nil || f.queues != [directions]*Op{}:
	case !t.polling:
		t.closable = append(t.closable, f)
	default:
		o := f.closing
		err := t.engine.CloseFD(f)
		f.closing, f.State = nil, 0
		t.end(o, 0, err, nil, 0)
	}
}

// closeIdle closes the descriptors that had to wait for Poll.
func (t *Table) closeIdle() {
	for i, f := range t.closable {
		t.closable[i] = nil
		t.tryClose(f)
	}
	t.closable = t.closable[:0]
}

func (t *Table) reject(o *Op, err error) {
	t.Finish(o, 0, err, nil, 0)
}

// unlink takes o out of its queue and returns the one that is first then.
func (t *Table) unlink(f *FD, d direction, o *Op) *Op {
	last := f.queues[d]
	if o.next == o {
		f.queues[d] = nil
		return nil
	}
	before := last
	for before.next != o {
		before = before.next
	}
	before.next = o.next
	if o == last {
		f.queues[d] = before
	}
	return f.queues[d].next
}

func (t *Table) extend(o *Op, op *backend.Op) {
	e := t.freeExtra
	if e == nil {
		e = new(Extra)
	} else {
		t.freeExtra, e.next = e.next, nil
	}
	e.Moved, e.Buf, e.Bufs, e.Addr, e.Lease, e.File, o.Extra = 0, op.Buf, op.Bufs, op.Addr, op.Lease, op.File, e
	if op.Deadline != 0 {
		e.timer.Value = o
		t.deadlines.Set(&e.timer, op.Deadline)
	}
}

func (t *Table) alloc() *Op {
	if t.free == nil {
		c := new([chunk]Op)
		for i := range c {
			c[i].slot, c[i].generation = uint32(len(t.ops)*chunk+i), 1
			if i+1 < chunk {
				c[i].next = &c[i+1]
			}
		}
		t.ops = append(t.ops, c)
		t.free = &c[0]
	}
	o := t.free
	t.free, o.next = o.next, nil
	o.live = true
	t.live++
	return o
}

func (t *Table) release(o *Op) {
	if e := o.Extra; e != nil {
		t.deadlines.Stop(&e.timer)
		e.Buf, e.Bufs, e.Addr, e.File, e.timer.Value = nil, nil, nil, nil, nil
		e.next, t.freeExtra = t.freeExtra, e
	}
	generation := o.generation + 1
	if generation == 0 {
		generation = 1
	}
	*o = Op{slot: o.slot, generation: generation, next: t.free}
	t.free = o
	t.live--
}
