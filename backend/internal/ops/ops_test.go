package ops

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"
	"testing"

	"github.com/eyewall/eyewall/backend"
)

// engine is one that the tests play: it notes what it is asked.
type engine struct {
	t       *testing.T
	table   *Table
	log     []string
	begun   []*Op
	polling bool
	quiet   bool // it does not note
	atOnce  bool // what is aborted ends at once
}

func newEngine(t *testing.T, maxOps int) *engine {
	e := &engine{t: t}
	e.table = New(e, maxOps)
	return e
}

func (e *engine) Begin(o *Op) {
	if o.State != 0 {
		e.t.Errorf("%v began with state %d", o.Kind, o.State)
	}
	o.State = 1
	e.begun = append(e.begun, o)
	e.note("begin %v %d", o.Kind, o.FD.Num)
}

func (e *engine) Abort(o *Op) {
	if !slices.Contains(e.begun, o) {
		e.t.Errorf("%v was aborted, and had not begun", o.Kind)
	}
	e.note("abort %v %d", o.Kind, o.FD.Num)
	if e.atOnce {
		e.finish(o, 0, o.Cause())
	}
}

func (e *engine) CloseFD(f *FD) error {
	if !e.polling {
		e.t.Errorf("descriptor %d was closed outside Poll", f.Num)
	}
	if f.Reading() != nil || f.Writing() != nil {
		e.t.Errorf("descriptor %d was closed with operations in flight", f.Num)
	}
	e.note("close %d", f.Num)
	return nil
}

func (e *engine) note(format string, args ...any) {
	if !e.quiet {
		e.log = append(e.log, fmt.Sprintf(format, args...))
	}
}

// finish ends o, which has begun.
func (e *engine) finish(o *Op, n int, err error) {
	i := slices.Index(e.begun, o)
	if i < 0 {
		e.t.Fatalf("%v ended, and had not begun", o.Kind)
	}
	e.begun = slices.Delete(e.begun, i, i+1)
	e.table.Finish(o, n, err, nil, 0)
}

// poll is a Poll with room for n, in which do runs.
func (e *engine) poll(n int, do func()) []backend.Completion {
	dst := make([]backend.Completion, n)
	e.polling = true
	e.table.BeginPoll(dst)
	if do != nil {
		do()
	}
	if e.table.Room() > 0 {
		e.table.CancelLine()
	}
	n = e.table.EndPoll()
	e.polling = false
	return dst[:n]
}

func (e *engine) wantLog(want ...string) {
	e.t.Helper()
	if !slices.Equal(e.log, want) {
		e.t.Errorf("the engine saw\n%q, want\n%q", e.log, want)
	}
	e.log = nil
}

// wantResults compares results with tokens and errors, in turn.
func (e *engine) wantResults(got []backend.Completion, want ...any) {
	e.t.Helper()
	if 2*len(got) != len(want) {
		e.t.Fatalf("%d completions, want %d: %v", len(got), len(want)/2, got)
	}
	for i, c := range got {
		err, _ := want[2*i+1].(error)
		if c.Token != want[2*i] || c.Err != err {
			e.t.Errorf("completion %d is of %#x with %v, want %#x with %v", i, c.Token, c.Err, want[2*i], err)
		}
	}
}

func (e *engine) submit(k backend.Kind, fd int) backend.Token {
	op := backend.Op{Kind: k, FD: fd}
	switch k {
	case backend.Read, backend.Send, backend.Write:
		op.Buf = []byte("x")
	case backend.Connect:
		op.Addr = []byte("x")
	}
	return e.table.Submit(&op)
}

func TestOrder(t *testing.T) {
	e := newEngine(t, 0)
	r1, r2 := e.submit(backend.Recv, 5), e.submit(backend.Read, 5)
	w1, w2 := e.submit(backend.Connect, 5), e.submit(backend.Send, 5)
	other := e.submit(backend.Recv, 6)
	p1, p2 := e.submit(backend.Poll, 5), e.submit(backend.Poll, 5)
	e.wantLog("begin recv 5", "begin connect 5", "begin recv 6", "begin poll 5", "begin poll 5")

	look := e.table.Lookup
	got := e.poll(10, func() {
		e.finish(look(p2), 0, nil)
		e.finish(look(r1), 1, nil)
		e.wantLog("begin read 5")
		e.finish(look(r2), 1, nil)
		e.finish(look(w1), 0, syscall.ECONNREFUSED)
		e.wantLog("begin send 5")
		e.finish(look(other), 1, nil)
		e.finish(look(w2), 0, nil)
		e.finish(look(p1), 0, nil)
	})
	e.wantResults(got, p2, nil, r1, nil, r2, nil, w1, syscall.ECONNREFUSED, other, nil, w2, nil, p1, nil)
	if e.table.Live() != 0 {
		t.Errorf("%d operations are in flight", e.table.Live())
	}
}

func TestCancel(t *testing.T) {
	e := newEngine(t, 0)
	first, second, third := e.submit(backend.Recv, 5), e.submit(backend.Recv, 5), e.submit(backend.Recv, 5)
	e.table.Cancel(second) // in line: it ends when the first is known not to let it begin
	e.table.Cancel(first)
	e.table.Cancel(first)
	e.table.Cancel(second)
	e.table.Cancel(0)
	e.table.Cancel(backend.MakeToken(1<<30, 7))
	e.wantLog("begin recv 5", "abort recv 5")
	o := e.table.Lookup(first)
	if !o.Aborted() || o.Cause() != backend.ErrCanceled {
		t.Errorf("aborted %v, cause %v", o.Aborted(), o.Cause())
	}
	if !e.table.LineCanceled() {
		t.Error("nothing in line is canceled")
	}
	e.wantResults(e.poll(10, nil), second, backend.ErrCanceled)
	if e.table.LineCanceled() {
		t.Error("what has ended is in line")
	}
	got := e.poll(10, func() {
		e.finish(o, 3, nil) // the real result wins
		e.finish(e.table.Lookup(third), 4, nil)
	})
	e.wantResults(got, first, nil, third, nil)
	if e.table.Lookup(first) != nil {
		t.Error("a token is known after its final completion")
	}
	again := e.submit(backend.Recv, 5)
	e.log = nil
	e.table.Cancel(first)
	e.table.Cancel(third)
	e.wantLog()
	if e.table.Lookup(again) == nil || again == first || again == third {
		t.Error("a slot's generations have the same token")
	}
}

// One that was canceled in line, and whose turn comes before the cancels are carried out, may have a result.
func TestCancelInLine(t *testing.T) {
	e := newEngine(t, 0)
	first, second := e.submit(backend.Recv, 5), e.submit(backend.Recv, 5)
	third, fourth := e.submit(backend.Recv, 5), e.submit(backend.Recv, 5)
	for _, tok := range []backend.Token{fourth, third, second} {
		e.table.Cancel(tok)
	}
	e.log = nil
	got := e.poll(10, func() {
		e.finish(e.table.Lookup(first), 1, nil)
		e.finish(e.table.Lookup(second), 1, nil)
		e.wantLog("begin recv 5", "begin recv 5")
	})
	e.wantLog("abort recv 5")
	e.wantResults(got, first, nil, second, nil, fourth, backend.ErrCanceled)
	got = e.poll(10, func() { e.finish(e.table.Lookup(third), 0, backend.ErrCanceled) })
	e.wantResults(got, third, backend.ErrCanceled)
}

// One that waits in line behind a stuck operation ends at the second call, and no other does.
func TestCancelStuck(t *testing.T) {
	e := newEngine(t, 0)
	first, second := e.submit(backend.Recv, 5), e.submit(backend.Recv, 5)
	third, fourth := e.submit(backend.Recv, 5), e.submit(backend.Recv, 5)
	other := e.submit(backend.Recv, 6)
	for _, tok := range []backend.Token{second, fourth} {
		e.table.Cancel(tok)
	}
	e.log = nil
	isStuck := true
	call := func() []backend.Completion {
		e.table.CancelStuck(func(*Op) bool { return isStuck })
		dst := make([]backend.Completion, 8)
		e.table.BeginPoll(dst)
		return dst[:e.table.EndPoll()]
	}
	e.wantResults(call())
	e.finish(e.table.Lookup(first), 1, nil) // in between, so that the fourth is not behind the same one
	e.wantLog("begin recv 5")
	e.wantResults(call(), first, nil)
	e.wantLog("abort recv 5") // the second, which has begun
	e.finish(e.table.Lookup(second), 1, nil)
	isStuck = false
	e.wantResults(call(), second, nil)
	isStuck = true
	e.wantResults(call())
	late := e.submit(backend.Recv, 6)
	e.table.Cancel(late)
	e.wantResults(call(), fourth, backend.ErrCanceled) // behind the third both times
	e.wantResults(call(), late, backend.ErrCanceled)
	if e.table.LineCanceled() || e.table.Lookup(third) == nil || e.table.Lookup(other) == nil {
		t.Error("others have ended, or some are left in line")
	}
}

// A cancel in a line looks at its neighbors only, however long the line is.
func TestCancelLooksAtNeighborsOnly(t *testing.T) {
	e := newEngine(t, 0)
	var toks [7]backend.Token
	for i := range toks {
		toks[i] = e.submit(backend.Recv, 5)
	}
	far := e.table.Lookup(toks[1])
	next, prev := far.next, far.prev
	far.next, far.prev = nil, nil // who follows them meets nil
	for _, i := range []int{4, 6} {
		e.table.Cancel(toks[i])
	}
	e.wantResults(e.poll(10, nil), toks[4], backend.ErrCanceled, toks[6], backend.ErrCanceled)
	far.next, far.prev = next, prev
	for _, i := range []int{0, 1, 2, 3, 5} {
		e.wantResults(e.poll(1, func() { e.finish(e.table.Lookup(toks[i]), 1, nil) }), toks[i], nil)
	}
	if e.table.FD(5).Reading() != nil {
		t.Error("the line is not empty")
	}
}

// A Close looks at the operations of its descriptor only, also where the first one ends at once and the line with it.
func TestCloseFollowsNothingFreed(t *testing.T) {
	e := newEngine(t, 0)
	e.atOnce = true
	var want []any
	for range 3 {
		want = append(want, e.submit(backend.Recv, 5), backend.ErrClosed)
	}
	for o := e.table.free; o != nil; o = o.next {
		o.begun = true // one that Close comes across would be aborted
	}
	want = append(want, e.submit(backend.Close, 5), nil)
	e.wantLog("begin recv 5", "abort recv 5")
	e.wantResults(e.poll(10, nil), want...)
}

func TestClose(t *testing.T) {
	e := newEngine(t, 0)
	r1, r2, r3 := e.submit(backend.Recv, 5), e.submit(backend.Recv, 5), e.submit(backend.Recv, 5)
	w, p := e.submit(backend.Send, 5), e.submit(backend.Poll, 5)
	e.table.Cancel(r3)
	e.log = nil
	e.table.FD(5).State = 9
	end := e.submit(backend.Close, 5)
	e.table.Cancel(end)
	e.wantLog("abort recv 5", "abort send 5", "abort poll 5")
	late, twice := e.submit(backend.Recv, 5), e.submit(backend.Close, 5)
	closed := backend.ErrClosed
	e.wantResults(e.poll(10, nil), late, closed, twice, closed, r3, backend.ErrCanceled)
	got := e.poll(10, func() {
		e.finish(e.table.Lookup(r1), 7, nil)
		e.finish(e.table.Lookup(p), 0, closed)
		e.wantLog()
		e.finish(e.table.Lookup(w), 0, closed)
		e.wantLog("close 5")
	})
	e.wantResults(got, r1, nil, r2, closed, p, closed, w, closed, end, nil)
	if e.table.FD(5).State != 0 {
		t.Error("the descriptor's state outlives it")
	}
	again := e.submit(backend.Recv, 5) // a new user of the number
	e.wantLog("begin recv 5")
	e.finish(e.table.Lookup(again), 1, nil)
	e.wantResults(e.poll(10, nil), again, nil)
}

// A descriptor with nothing in flight is closed by Poll too, so that what comes before that ends before.
func TestCloseIdle(t *testing.T) {
	e := newEngine(t, 0)
	r := e.submit(backend.Recv, 5)
	end := e.submit(backend.Close, 5)
	e.finish(e.table.Lookup(r), 0, backend.ErrClosed) // outside Poll
	late := e.submit(backend.Send, 5)
	idle := e.submit(backend.Close, 6)
	e.log = nil
	got := e.poll(10, nil)
	e.wantLog("close 5", "close 6")
	e.wantResults(got, r, backend.ErrClosed, late, backend.ErrClosed, end, nil, idle, nil)
}

func TestMaxOps(t *testing.T) {
	e := newEngine(t, 2)
	a, b := e.submit(backend.Recv, 5), e.submit(backend.Recv, 6)
	c, accept := e.submit(backend.Recv, 7), e.submit(backend.Accept, 7)
	end := e.submit(backend.Close, 5) // is how there will be fewer
	got := e.poll(10, func() { e.finish(e.table.Lookup(a), 0, backend.ErrClosed) })
	e.wantResults(got, c, backend.ErrTooManyOps, accept, backend.ErrTooManyOps, a, backend.ErrClosed, end, nil)
	if got[1].N != -1 {
		t.Errorf("a refused Accept has N %d", got[1].N)
	}
	d := e.submit(backend.Recv, 7)
	if e.table.Lookup(d) == nil || e.table.Lookup(b) == nil {
		t.Error("there is no room again")
	}
}

func TestRefused(t *testing.T) {
	e := newEngine(t, 0)
	bad := e.table.Submit(&backend.Op{Kind: backend.Recv, FD: -1})
	zero := e.table.Submit(&backend.Op{})
	far := e.submit(backend.Recv, math.MaxInt)
	got := e.poll(10, nil)
	if len(got) != 3 || got[0].Token != bad || got[1].Token != zero || got[2].Token != far {
		t.Fatalf("completions %v", got)
	}
	for i := range 2 {
		if e := new(backend.OpError); !errors.As(got[i].Err, &e) {
			t.Errorf("completion %d has %v", i, got[i].Err)
		}
	}
	if got[2].Err != syscall.EBADF {
		t.Errorf("a descriptor beyond all has %v", got[2].Err)
	}
	if len(e.table.fds) > 1 {
		t.Error("a descriptor beyond all made the table grow")
	}
	e.wantLog()
}

// What does not fit waits, in order, for the Polls that come.
func TestLeftovers(t *testing.T) {
	e := newEngine(t, 0)
	want := 0
	next := func(got []backend.Completion, n int) {
		t.Helper()
		if len(got) != n {
			t.Fatalf("%d completions, want %d", len(got), n)
		}
		for _, c := range got {
			if c.N != want {
				t.Fatalf("completion %d comes when %d is due", c.N, want)
			}
			want++
		}
	}
	emitted := 0
	o := e.table.Lookup(e.table.Submit(&backend.Op{Kind: backend.Recv, FD: 5, Multishot: true}))
	emit := func(n int) func() {
		return func() {
			for range n {
				e.table.Emit(o, emitted, nil, 0)
				emitted++
			}
		}
	}
	emit(5)() // before any Poll
	next(e.poll(3, nil), 3)
	next(e.poll(3, emit(4)), 3)
	next(e.poll(2, emit(4)), 2)
	next(e.poll(0, func() {
		if e.table.Room() == 0 || e.table.Filled() == 0 {
			t.Errorf("a Poll without room has room %d, filled %d", e.table.Room(), e.table.Filled())
		}
		emit(100)()
		if e.table.Room() != 0 {
			t.Errorf("a Poll without room takes without bound: room %d", e.table.Room())
		}
	}), 0)
	for want < emitted {
		e.poll(1, func() {
			if e.table.Room() != 0 {
				t.Error("there is room although completions are left over")
			}
		})
		want++
	}
	next(e.poll(3, emit(2)), 2)
	if e.table.Stats.Completions != uint64(emitted) {
		t.Errorf("Stats count %d completions, want %d", e.table.Stats.Completions, emitted)
	}
}

// A long backlog is not moved as a whole each time that a little of it is taken and a little comes.
func TestLeftoversStayInPlace(t *testing.T) {
	e := newEngine(t, 0)
	o := e.table.Lookup(e.table.Submit(&backend.Op{Kind: backend.Recv, FD: 5, Multishot: true}))
	n := 0
	for ; n < 1<<12 || n < cap(e.table.queue); n++ { // as many as there is memory for
		e.table.Emit(o, 0, nil, 0)
	}
	moves := 0
	for range n {
		e.poll(1, func() {
			head := e.table.head
			if e.table.Emit(o, 0, nil, 0); e.table.head < head {
				moves++
			}
		})
	}
	if moves > 4 {
		t.Errorf("%d completions were moved %d times while as many came", n, moves)
	}
}

func TestUnreported(t *testing.T) {
	e := newEngine(t, 0)
	one := e.submit(backend.Accept, 5)
	many := e.table.Submit(&backend.Op{Kind: backend.Accept, FD: 6, Multishot: true})
	recv := e.submit(backend.Recv, 7)
	e.table.Emit(e.table.Lookup(many), 40, nil, 0)
	e.poll(1, nil)
	e.table.Emit(e.table.Lookup(many), 41, nil, 0)
	e.finish(e.table.Lookup(recv), 99, nil)
	e.finish(e.table.Lookup(one), 42, nil)
	e.finish(e.table.Lookup(many), -1, syscall.EMFILE)
	var fds []int
	e.table.Unreported(func(fd int) { fds = append(fds, fd) })
	if !slices.Equal(fds, []int{41, 42}) {
		t.Errorf("unreported are %v", fds)
	}
	if got := e.poll(10, nil); len(got) != 0 {
		t.Errorf("and reported %v", got)
	}
}

func TestNothingAllocated(t *testing.T) {
	e := newEngine(t, 0)
	e.quiet = true
	dst := make([]backend.Completion, 64)
	op := &backend.Op{Kind: backend.Recv, FD: 5}
	n := testing.AllocsPerRun(100, func() {
		for range 40 {
			e.table.Cancel(e.table.Submit(op))
		}
		for range 2 {
			e.table.BeginPoll(dst[:25])
			if len(e.begun) > 0 {
				o := e.begun[0]
				e.begun = e.begun[:0]
				e.table.Finish(o, 0, o.Cause(), nil, 0)
			}
			e.table.CancelLine()
			e.table.EndPoll()
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A multishot operation that has reported in the last Poll may end at once; the next one on its descriptor may not.
func TestAbortsAtOnce(t *testing.T) {
	e := newEngine(t, 0)
	submit := func() *Op {
		return e.table.Lookup(e.table.Submit(&backend.Op{Kind: backend.Recv, Multishot: true, FD: 5}))
	}
	o := submit()
	if e.table.AbortsAtOnce(o) {
		t.Error("it may end at once before it has reported anything")
	}
	e.poll(10, func() { e.table.Emit(o, 1, nil, 0) })
	if !e.table.AbortsAtOnce(o) {
		t.Error("it may not end at once though it has reported")
	}
	e.poll(10, nil)
	if e.table.AbortsAtOnce(o) {
		t.Error("it may end at once though it has reported nothing in the last Poll")
	}
	e.poll(10, func() {
		e.table.Emit(o, 1, nil, 0)
		e.finish(o, 0, nil)
	})
	if o = submit(); e.table.AbortsAtOnce(o) {
		t.Error("it may end at once for what another one has reported")
	}
}
