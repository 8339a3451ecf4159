//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/eyewall/eyewall/backend"
)

// Checked wraps b and calls report for whatever breaks the contract, be it b's doing or its caller's: completions out
// of order, too many, or of no operation; results that the operation cannot have; errors that may not surface or were
// not asked for; leases released twice, lent twice or overlapping; calls before Start, after Close, two at once or, on
// Linux, from another thread; a Poll that returns early for no reason. Bytes given back with Release are overwritten,
// so that a reader who still uses them notices. Nothing allocates once warm.
//
// A backend may be closed with operations in flight, so that nothing is said of those; see [Outstanding].
//
// report may be called from any goroutine that calls the backend.
func Checked(b backend.Backend, report func(msg string)) backend.Backend {
	return newChecked(b, report)
}

// Outstanding tells how many operations of b, which [Checked] has wrapped, have had no final completion, and how many
// leases were not released. It is for the thread that drives b.
func Outstanding(b backend.Backend) (operations, leases int) {
	c := b.(*checked)
	return c.inFlight, len(c.lent)
}

// checked is the wrapper. Its tables are indexed by slot and descriptor, since a backend keeps both small, and maps
// would allocate now and then.
type checked struct {
	b      backend.Backend
	report func(string)
	caps   backend.Caps

	started, closed, broken bool
	inside                  atomic.Int32 // calls in progress that belong to the driving thread
	thread                  int          // that of Start; 0 where systems do not tell

	flights  []flight
	free     int32       // unused ones of flights, linked by next, as index+1
	slots    []slotState // by slot
	inFlight int
	fds      []fdState // by descriptor
	turn     uint64    // calls of Poll so far

	lent      []loan
	lentBytes int
	sums      bool // verify at Release that lent bytes are as they came

	wakes atomic.Uint64 // Wakes begun
	spent uint64        // of these, how many explained a Poll that returned early with nothing

	op backend.Op // what the backend is shown, to find out whether it keeps a pointer to it
}

// slotState is what is in flight under one slot. A backend may use a slot again before it has delivered its last final
// completion, so that there can be several, of different generations.
type slotState struct {
	head int32  // linked by same, as index+1
	last uint32 // the newest generation
}

// flight is an operation in flight.
type flight struct {
	multishot bool
	lends     bool // a Recv without Buf, or a Splice
	canceled  bool // Cancel was called for it
	closing   bool // a Close of its descriptor was in flight at the same time
	before    bool // that Close came later, so it waits for this
	kind      backend.Kind
	events    int16
	token     backend.Token
	same      int32 // the next flight of the slot, as index+1
	fd        int
	lease     backend.Lease // of a Send, whose bytes are in a pipe
	size      int           // bytes to send, or room to receive
	sink      backend.Sink
	turn      uint64 // in which it was submitted
	prev      int32  // in its fifo, as index+1
	next      int32
}

// fdState is what is in flight on one descriptor.
type fdState struct {
	read, write, other fifo
	closes             int // Close operations in flight
}

// fifo is a list of flights in the order of their submission.
type fifo struct{ head, tail int32 } // index+1

// The bounds up to which slots and descriptors are believed. Beyond them the tables would eat the memory of whoever
// runs into a backend that makes up tokens.
const (
	maxSlots = 1 << 24
	maxFDs   = 1 << 22
)

// errUnwritten stands in the completions that a Poll is given, to show up if it leaves a field as it was.
var errUnwritten = errors.New("backendtest: a field that Poll did not write")

var unwritten = backend.Completion{
	Token: ^backend.Token(0), Sink: noSink{}, N: math.MinInt, Err: errUnwritten, Data: []byte("unwritten"),
	Lease: ^backend.Lease(0), More: true,
}

type noSink struct{}

func (noSink) Complete(*backend.Completion) {
	panic("backendtest: Complete of a sink that nobody gave")
}

func newChecked(b backend.Backend, report func(string)) *checked {
	return &checked{b: b, report: report, caps: b.Caps()}
}

func (c *checked) errorf(format string, args ...any) { c.report(fmt.Sprintf(format, args...)) }

// enter notes that the driving thread is in the backend, and tells whether the call may go on.
func (c *checked) enter(call string) {
	if c.inside.Add(1) != 1 {
		c.errorf("%s while another call is in progress: only Wake, Now and Caps may be called from elsewhere", call)
	} else if c.thread != 0 && c.thread != threadID() {
		c.errorf("%s from another thread than Start's; lock the goroutine that drives a backend to its thread", call)
	}
	switch {
	case c.closed:
		c.errorf("%s after Close", call)
	case !c.started:
		c.errorf("%s before Start", call)
	case c.broken:
		c.errorf("%s after Poll failed: only Close is left", call)
	}
}

func (c *checked) leave() { c.inside.Add(-1) }

func (c *checked) Start() error {
	defer c.leave()
	switch inside := c.inside.Add(1) != 1; {
	case inside:
		c.errorf("Start while another call is in progress")
	case c.closed:
		c.errorf("Start after Close")
	case c.started:
		c.errorf("Start called twice")
	}
	c.started, c.thread = true, threadID()
	return c.b.Start()
}

func (c *checked) Submit(op *backend.Op) backend.Token {
	c.enter("Submit")
	defer c.leave()
	c.op = *op
	t := c.b.Submit(&c.op)
	if !sameOp(&c.op, op) {
		c.errorf("Submit changed the operation it was given: %s", describe(op))
	}
	// From here on a backend that kept the pointer sees something else.
	c.op = backend.Op{Kind: 0xee, FD: -0xee, Sink: noSink{}}
	c.departs(t, op)
	return t
}

func sameOp(a, b *backend.Op) bool {
	return a.Kind == b.Kind && a.Multishot == b.Multishot && a.Events == b.Events && a.FD == b.FD &&
		sameSink(a.Sink, b.Sink) &&
		unsafe.SliceData(a.Buf) == unsafe.SliceData(b.Buf) && len(a.Buf) == len(b.Buf) &&
		unsafe.SliceData(a.Bufs) == unsafe.SliceData(b.Bufs) && len(a.Bufs) == len(b.Bufs) &&
		unsafe.SliceData(a.Addr) == unsafe.SliceData(b.Addr) && len(a.Addr) == len(b.Addr) &&
		a.Lease == b.Lease && a.File == b.File
}

// sameSink compares identities: a sink may be of a type that == cannot compare, such as a func.
func sameSink(a, b backend.Sink) bool {
	return *(*[2]uintptr)(unsafe.Pointer(&a)) == *(*[2]uintptr)(unsafe.Pointer(&b))
}

// departs files op under the token that the backend gave it.
func (c *checked) departs(t backend.Token, op *backend.Op) {
	slot := t.Slot()
	switch {
	case t == 0 || t.Generation() == 0:
		c.errorf("Submit returned token %#x; generations start at 1: %s", uint64(t), describe(op))
		return
	case slot >= maxSlots:
		c.errorf("Submit returned token %#x, whose slot is beyond %d: %s", uint64(t), maxSlots, describe(op))
		return
	}
	for int(slot) >= len(c.slots) {
		c.slots = append(c.slots, slotState{})
	}
	st := &c.slots[slot]
	if old := c.find(t); old != nil {
		c.errorf("law 8: Submit returned token %#x again while it is in flight as %s", uint64(t), old)
		c.drop(old)
	} else if st.last == t.Generation() {
		c.errorf("law 8: Submit returned token %#x a second time: %s", uint64(t), describe(op))
	}
	if c.free == 0 {
		c.flights = append(c.flights, flight{})
		c.free = int32(len(c.flights))
	}
	at := c.free
	f := &c.flights[at-1]
	c.free = f.next
	*f = flight{
		token: t, same: st.head, kind: op.Kind, multishot: op.Multishot, fd: op.FD, events: op.Events,
		lends: op.Kind == backend.Recv && op.Buf == nil || op.Kind == backend.Splice, size: len(op.Buf),
		sink: op.Sink, turn: c.turn,
	}
	st.head, st.last = at, t.Generation()
	switch {
	case op.File != nil:
		f.size = max(op.File.Size, 0)
	case op.Lease != 0:
		f.lease, f.size = op.Lease, c.sends(op)
	}
	for _, b := range op.Bufs {
		f.size += len(b)
	}
	c.inFlight++
	if op.FD < 0 || op.FD >= maxFDs {
		return // it cannot be a descriptor, so there is no order to keep
	}
	for op.FD >= len(c.fds) {
		c.fds = append(c.fds, fdState{})
	}
	fd := &c.fds[op.FD]
	if op.Kind == backend.Close {
		fd.closes++
		for _, l := range [...]*fifo{&fd.read, &fd.write, &fd.other} {
			for i := l.head; i != 0; i = c.flights[i-1].next {
				c.flights[i-1].closing, c.flights[i-1].before = true, true
			}
		}
	}
	f.closing = fd.closes > 0
	c.push(f, at)
}

func (c *checked) push(f *flight, at int32) {
	l := c.listOf(f)
	if f.prev = l.tail; f.prev != 0 {
		c.flights[f.prev-1].next = at
	} else {
		l.head = at
	}
	l.tail = at
}

// drop takes f out of the tables.
func (c *checked) drop(f *flight) {
	c.inFlight--
	p := &c.slots[f.token.Slot()].head
	for &c.flights[*p-1] != f {
		p = &c.flights[*p-1].same
	}
	at := *p
	*p = f.same
	defer func() {
		*f = flight{next: c.free}
		c.free = at
	}()
	l := c.listOf(f)
	if l == nil {
		return
	}
	if f.prev != 0 {
		c.flights[f.prev-1].next = f.next
	} else {
		l.head = f.next
	}
	if f.next != 0 {
		c.flights[f.next-1].prev = f.prev
	} else {
		l.tail = f.prev
	}
	if f.kind == backend.Close {
		c.fds[f.fd].closes--
	}
}

// listOf finds the fifo that f is in. c.fds moves as it grows, so that nothing keeps pointers to it.
func (c *checked) listOf(f *flight) *fifo {
	if f.fd < 0 || f.fd >= maxFDs {
		return nil
	}
	switch fd := &c.fds[f.fd]; f.kind {
	case backend.Accept, backend.Recv, backend.Splice, backend.Read:
		return &fd.read
	case backend.Connect, backend.Send, backend.SendFile, backend.Write:
		return &fd.write
	default:
		return &fd.other
	}
}

func (c *checked) Cancel(t backend.Token) {
	c.enter("Cancel")
	defer c.leave()
	if f := c.find(t); f != nil {
		f.canceled = true
	}
	c.b.Cancel(t)
}

// find gives the flight that t names, nil if it is not in flight.
func (c *checked) find(t backend.Token) *flight {
	if slot := t.Slot(); int64(slot) < int64(len(c.slots)) {
		for i := c.slots[slot].head; i != 0; i = c.flights[i-1].same {
			if f := &c.flights[i-1]; f.token == t {
				return f
			}
		}
	}
	return nil
}

func (c *checked) Poll(dst []backend.Completion, until time.Duration) (int, error) {
	c.enter("Poll")
	defer c.leave()
	for i := range dst {
		dst[i] = unwritten
	}
	c.turn++
	n, err := c.b.Poll(dst, until)
	if err != nil {
		c.broken = true
	}
	if n < 0 || n > len(dst) {
		c.errorf("Poll returned %d completions for a dst of %d", n, len(dst))
		return n, err
	}
	if n == 0 && len(dst) > 0 && err == nil {
		if now := c.b.Now(); now < until {
			if c.spent++; c.spent > c.wakes.Load() {
				c.errorf("Poll returned nothing %v before its time, and nobody called Wake", until-now)
				c.spent--
			}
		}
	}
	for i := range dst[:n] {
		c.arrives(&dst[i])
	}
	return n, err
}

func (c *checked) Wake() {
	c.wakes.Add(1)
	c.b.Wake()
}

func (c *checked) Now() time.Duration { return c.b.Now() }

func (c *checked) Caps() backend.Caps { return c.b.Caps() }

func (c *checked) Stats() backend.Stats {
	c.enter("Stats")
	defer c.leave()
	return c.b.Stats()
}

func (c *checked) Close() error {
	if c.inside.Add(1) != 1 {
		c.errorf("Close while another call is in progress")
	} else if c.thread != 0 && c.thread != threadID() && !c.closed {
		c.errorf("Close from another thread than Start's")
	}
	defer c.leave()
	c.closed = true
	return c.b.Close()
}

func (f *flight) String() string {
	return describe(&backend.Op{Kind: f.kind, Multishot: f.multishot, FD: f.fd})
}

func describe(op *backend.Op) string {
	s := fmt.Sprintf("%v on descriptor %d", op.Kind, op.FD)
	if op.Multishot {
		s = "multishot " + s
	}
	return s
}

func show(c *backend.Completion) string {
	s := fmt.Sprintf("{token %#x N %d", uint64(c.Token), c.N)
	if c.Err != nil {
		s += fmt.Sprintf(" err %q", c.Err)
	}
	if c.Lease != 0 || len(c.Data) > 0 {
		s += fmt.Sprintf(" data %d bytes, lease %#x", len(c.Data), uint32(c.Lease))
	}
	if c.More {
		s += " more"
	}
	return s + "}"
}
