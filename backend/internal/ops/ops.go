// Package ops is what every backend of eyewall's own keeps: the operations in flight, the descriptors' queues and
// the completions that wait for Poll. What differs between kernels' interfaces is behind [Engine].
package ops

import (
	"syscall"

	"github.com/eyewall/eyewall/backend"
)

// Engine carries operations out. Each operation that began gets exactly one Finish from it, never within Begin.
type Engine interface {
	// Begin starts o, which is the first of its descriptor and direction (or one of several, for backend.Poll). It may
	// have been canceled while it waited in line: then CancelLine calls Abort, unless it has finished by then.
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
	prev  *Op    // in that ring
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
	End   int64  // where File ended when that was last asked, 0 at first; the engine keeps it
	next  *Extra // in the free list
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

// Aborted reports whether it is to end early.
func (o *Op) Aborted() bool { return o.cause != 0 }

// Cause is the error with which an operation that ends early completes; nil if it need not end.
func (o *Op) Cause() error { return o.cause.err() }

type cause uint8

const (
	canceled cause = iota + 1
	closed
)

func (c cause) err() error {
	switch c {
	case canceled:
		return backend.ErrCanceled
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

	begins uint // operations that have begun, so far

	fds       []*[chunk]FD // by descriptor
	freeExtra *Extra

	polling  bool     // from BeginPoll to EndPoll
	closable []*FD    // nothing is in flight on them, and their Close waits for Poll
	line     []inLine // operations that were canceled before they had begun, until CancelLine or CancelStuck

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
	if d != reading || op.Buf != nil {
		t.extend(o, op)
	}
	if first := f.append(d, o); first || d == polling {
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

// Scan calls do for the descriptors that are known among the n from number from on. It returns the number to go on from, or
// 0 after the last.
func (t *Table) Scan(from, n int, do func(*FD)) (next int) {
	last := min(from+n, len(t.fds)*chunk)
	for i := from; i < last; i++ {
		if c := t.fds[i/chunk]; c != nil {
			do(&c[i%chunk])
		}
	}
	if last == len(t.fds)*chunk {
		return 0
	}
	return last
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

// Begins counts the operations that have begun.
func (t *Table) Begins() uint { return t.begins }

// Live is the number of operations in flight.
func (t *Table) Live() int { return t.live }

// Emit reports a completion of o that others will follow. data is nil or lent under lease.
func (t *Table) Emit(o *Op, n int, data []byte, lease backend.Lease) {
	c := t.slot(o.Kind)
	*c = backend.Completion{Token: o.Token(), Sink: o.Sink, N: n, Data: data, Lease: lease, More: true}
	o.FD.emitted = uint32(t.Stats.Polls)
}

// AbortsAtOnce reports whether an operation that is aborted need not be looked at for a result first: its descriptor is to
// be closed, or it is a multishot operation that has reported a result in the last Poll. So a caller that gets too much can
// end that promptly.
func (t *Table) AbortsAtOnce(o *Op) bool {
	return o.cause == closed || o.Multishot && t.Emitted(o.FD)
}

// Emitted reports whether Emit was called for f in this Poll, or the last one.
func (t *Table) Emitted(f *FD) bool { return f.emitted != 0 && f.emitted == uint32(t.Stats.Polls) }

// Finish reports the final completion of o, and begins what waited behind it.
func (t *Table) Finish(o *Op, n int, err error, data []byte, lease backend.Lease) {
	f, d := o.FD, o.direction()
	next := t.end(o, n, err, data, lease)
	if f == nil {
		return
	}
	for next != nil && !next.begun && f.closing != nil {
		if !next.Aborted() {
			next.cause = closed
		}
		next = t.end(next, 0, next.Cause(), nil, 0)
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
		next = o.FD.unlink(o.direction(), o)
	}
	t.release(o)
	return next
}

func (t *Table) begin(o *Op) {
	o.begun = true
	t.begins++
	if o.Multishot {
		o.FD.emitted = 0 // that was another one's
	}
	t.engine.Begin(o)
}

// abort ends o early. The first reason stands.
func (t *Table) abort(o *Op, why cause) {
	switch {
	case o.cause != 0:
		return
	case o.begun:
		o.cause = why
		t.engine.Abort(o)
	default:
		o.cause = why
		t.line = append(t.line, inLine{token: o.Token()})
	}
}

// close ends the other operations of o's descriptor; Poll closes it after the last. Those in line end with the first.
func (t *Table) close(o *Op) {
	f := o.FD
	f.closing = o
	for _, first := range [...]*Op{f.Reading(), f.Writing()} {
		if first != nil {
			t.abort(first, closed)
		}
	}
	f.Polls(func(o *Op) { t.abort(o, closed) })
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

func (t *Table) extend(o *Op, op *backend.Op) {
	e := t.freeExtra
	if e == nil {
		e = new(Extra)
	} else {
		t.freeExtra, e.next = e.next, nil
	}
	e.Moved, e.Buf, e.Bufs, e.Addr, e.Lease, e.File, e.End, o.Extra = 0, op.Buf, op.Bufs, op.Addr, op.Lease, op.File, 0, e
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
		e.Buf, e.Bufs, e.Addr, e.File = nil, nil, nil, nil
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
