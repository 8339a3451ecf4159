//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// fake does what a test tells it to.
type fake struct {
	now      time.Duration
	slot     uint32
	token    func() backend.Token           // what Submit returns; nil for fresh ones
	submit   func(op *backend.Op)           // what Submit does besides
	poll     func(dst []backend.Completion) // what Poll does besides
	out      []backend.Completion           // what Poll delivers
	pollN    int                            // what Poll returns, where it is not 0
	pollErr  error                          //
	fetched  int                            // what Fetch returns
	pipeless bool
	called   map[string]int          // calls that came through
	during   func(c backend.Backend) // called from within Poll
	wrapped  backend.Backend         // what during gets
}

func (f *fake) Start() error { f.called["Start"]++; return nil }

func (f *fake) Submit(op *backend.Op) backend.Token {
	if f.submit != nil {
		f.submit(op)
	}
	if f.token != nil {
		return f.token()
	}
	f.slot++
	return backend.MakeToken(f.slot, 1)
}

func (f *fake) Cancel(backend.Token) { f.called["Cancel"]++ }

func (f *fake) Poll(dst []backend.Completion, until time.Duration) (int, error) {
	if f.during != nil {
		f.during(f.wrapped)
	}
	n := copy(dst, f.out)
	f.out = f.out[n:]
	if f.poll != nil {
		f.poll(dst)
	}
	if f.pollN != 0 {
		n = f.pollN
	}
	return n, f.pollErr
}

func (f *fake) Release(backend.Lease)           { f.called["Release"]++ }
func (f *fake) Fetch(backend.Lease, []byte) int { f.called["Fetch"]++; return f.fetched }
func (f *fake) Wake()                           { f.called["Wake"]++ }
func (f *fake) Now() time.Duration              { return f.now }
func (f *fake) Caps() backend.Caps {
	return backend.Caps{Name: "fake", BufferSize: 100, BufferCount: 2, Pipes: !f.pipeless}
}
func (f *fake) Stats() backend.Stats { f.called["Stats"]++; return backend.Stats{} }
func (f *fake) Close() error         { f.called["Close"]++; return nil }

// trial is a fake under its wrapper, with what that has reported.
type trial struct {
	*fake
	c       backend.Backend
	reports []string
	dst     [8]backend.Completion
}

// newTrial locks the goroutine to its thread, for good.
func newTrial() *trial {
	runtime.LockOSThread()
	tr := &trial{fake: &fake{called: map[string]int{}, now: 1000}}
	tr.c = Checked(tr.fake, func(msg string) { tr.reports = append(tr.reports, msg) })
	tr.c.(*checked).sums = true
	tr.wrapped = tr.c
	return tr
}

// op submits op and returns its token.
func (tr *trial) op(op backend.Op) backend.Token { return tr.c.Submit(&op) }

// deliver has Poll deliver these.
func (tr *trial) deliver(cs ...backend.Completion) {
	tr.out = append(tr.out, cs...)
	tr.c.Poll(tr.dst[:], 0)
}

func eventually(n int, err error) backend.Completion { return backend.Completion{N: n, Err: err} }

// of names the operation that a completion is of.
func of(t backend.Token, c backend.Completion) backend.Completion {
	c.Token = t
	return c
}

type funcSink func(*backend.Completion)

func (f funcSink) Complete(c *backend.Completion) { f(c) }

var (
	recvBuf  = backend.Op{Kind: backend.Recv, FD: 5, Buf: make([]byte, 10)}
	recvLent = backend.Op{Kind: backend.Recv, FD: 5}
	multi    = backend.Op{Kind: backend.Recv, FD: 5, Multishot: true}
	sendTen  = backend.Op{Kind: backend.Send, FD: 5, Buf: make([]byte, 10)}
	accept   = backend.Op{Kind: backend.Accept, FD: 5}
	accepts  = backend.Op{Kind: backend.Accept, FD: 5, Multishot: true}
	pollIn   = backend.Op{Kind: backend.Poll, FD: 5, Events: unix.POLLIN}
	closeOp  = backend.Op{Kind: backend.Close, FD: 5}
	spliceOp = backend.Op{Kind: backend.Splice, FD: 5}
	sendPipe = backend.Op{Kind: backend.Send, FD: 5, Lease: 1}
	sendPart = backend.Op{Kind: backend.SendFile, FD: 5, File: &backend.File{Size: 10}}
)

// piped is n bytes lent in a pipe.
func piped(n int, l backend.Lease) backend.Completion { return backend.Completion{N: n, Lease: l} }

func with(op backend.Op, change func(*backend.Op)) backend.Op {
	change(&op)
	return op
}

func lent(n int, l backend.Lease, more bool) backend.Completion {
	return backend.Completion{N: n, Data: make([]byte, n), Lease: l, More: more}
}

// faults are things that must not happen, each with what Checked says of it.
var faults = []struct {
	name string
	want string
	do   func(tr *trial)
}{
	{"submit before start", "Submit before Start", func(tr *trial) { tr = again(tr); tr.op(recvBuf) }},
	{"cancel before start", "Cancel before Start", func(tr *trial) { tr = again(tr); tr.c.Cancel(0) }},
	{"poll before start", "Poll before Start", func(tr *trial) { tr = again(tr); tr.c.Poll(nil, 0) }},
	{"release before start", "Release before Start", func(tr *trial) { tr = again(tr); tr.c.Release(0) }},
	{"stats before start", "Stats before Start", func(tr *trial) { tr = again(tr); tr.c.Stats() }},
	{"start twice", "Start called twice", func(tr *trial) { tr.c.Start() }},
	{"start after close", "Start after Close", func(tr *trial) { tr.c.Close(); tr.c.Start() }},
	{"submit after close", "Submit after Close", func(tr *trial) { tr.c.Close(); tr.op(recvBuf) }},
	{"poll after close", "Poll after Close", func(tr *trial) { tr.c.Close(); tr.c.Poll(nil, 0) }},
	{"submit after a failure", "Submit after Poll failed", func(tr *trial) {
		tr.pollErr = io.ErrUnexpectedEOF
		tr.c.Poll(nil, 0)
		tr.op(recvBuf)
	}},
	{"submit during poll", "Submit while another call is in progress", func(tr *trial) {
		tr.during = func(c backend.Backend) { c.Submit(&backend.Op{Kind: backend.Recv, FD: 5}) }
		tr.c.Poll(nil, 0)
	}},
	{"start during poll", "Start while another call is in progress", func(tr *trial) {
		tr.during = func(c backend.Backend) { c.Start() }
		tr.c.Poll(nil, 0)
	}},
	{"close during poll", "Close while another call is in progress", func(tr *trial) {
		tr.during = func(c backend.Backend) { c.Close() }
		tr.c.Poll(nil, 0)
	}},

	{"op changed", "Submit changed the operation", func(tr *trial) {
		tr.submit = func(op *backend.Op) { op.FD++ }
		tr.op(recvBuf)
	}},
	{"op changed: bytes", "Submit changed the operation", func(tr *trial) {
		tr.submit = func(op *backend.Op) { op.Buf = op.Buf[1:] }
		tr.op(recvBuf)
	}},
	{"op changed: sink", "Submit changed the operation", func(tr *trial) {
		tr.submit = func(op *backend.Op) { op.Sink = noSink{} }
		tr.op(recvBuf)
	}},
	{"zero token", "generations start at 1", func(tr *trial) {
		tr.token = func() backend.Token { return 0 }
		tr.op(recvBuf)
	}},
	{"generation 0", "generations start at 1", func(tr *trial) {
		tr.token = func() backend.Token { return backend.MakeToken(7, 0) }
		tr.op(recvBuf)
	}},
	{"slot out of reach", "whose slot is beyond", func(tr *trial) {
		tr.token = func() backend.Token { return backend.MakeToken(1<<31, 1) }
		tr.op(recvBuf)
	}},
	{"token in flight", "again while it is in flight", func(tr *trial) {
		tr.token = func() backend.Token { return backend.MakeToken(7, 1) }
		tr.op(recvBuf)
		tr.op(recvBuf)
	}},
	{"token used up", "a second time", func(tr *trial) {
		tr.token = func() backend.Token { return backend.MakeToken(7, 1) }
		tr.deliver(of(tr.op(recvBuf), eventually(1, nil)))
		tr.op(recvBuf)
	}},

	{"negative count", "Poll returned -1 completions", func(tr *trial) { tr.pollN = -1; tr.c.Poll(nil, 0) }},
	{"count beyond dst", "Poll returned 9 completions for a dst of 8", func(tr *trial) { tr.pollN = 9; tr.c.Poll(tr.dst[:], 0) }},
	{"early return", "nobody called Wake", func(tr *trial) { tr.c.Poll(tr.dst[:], 2000) }},
	{"early return after one wake too few", "nobody called Wake", func(tr *trial) {
		tr.c.Wake()
		tr.c.Poll(tr.dst[:], 2000)
		tr.c.Poll(tr.dst[:], 2000)
	}},
	{"completion not written", "did not write in full", func(tr *trial) { tr.op(recvBuf); tr.pollN = 1; tr.c.Poll(tr.dst[:], 0) }},
	{"error not written", "did not write in full", func(tr *trial) {
		t := tr.op(recvBuf)
		tr.poll = func(dst []backend.Completion) {
			dst[0].Token, dst[0].N, dst[0].Sink, dst[0].Lease, dst[0].More = t, 1, nil, 0, false
		}
		tr.pollN = 1
		tr.c.Poll(tr.dst[:], 0)
	}},

	{"two finals", "law 1: a completion after the final one", func(tr *trial) {
		t := tr.op(recvBuf)
		tr.deliver(of(t, eventually(1, nil)), of(t, eventually(1, nil)))
	}},
	{"more after the final", "law 1: a completion after the final one", func(tr *trial) {
		t := tr.op(multi)
		tr.deliver(of(t, eventually(0, io.EOF)), of(t, lent(1, 1, true)))
	}},
	{"unknown token", "law 1: a completion of an operation that never was", func(tr *trial) {
		tr.op(recvBuf)
		tr.deliver(of(backend.MakeToken(99, 1), eventually(1, nil)))
	}},
	{"unknown generation", "law 1: a completion of an operation that never was", func(tr *trial) {
		t := tr.op(recvBuf)
		tr.deliver(of(backend.MakeToken(t.Slot(), 2), eventually(1, nil)))
	}},
	{"more without multishot", "law 1: More on an operation without Multishot", func(tr *trial) {
		tr.deliver(of(tr.op(recvLent), lent(1, 1, true)))
	}},
	{"more with an error", "law 1: an error, and still More", func(tr *trial) {
		c := of(tr.op(multi), eventually(0, io.EOF))
		c.More = true
		tr.deliver(c)
	}},
	{"multishot without an end", "ended without an error", func(tr *trial) {
		tr.deliver(of(tr.op(multi), lent(1, 1, false)))
	}},
	{"sink lost", "Sink is not the operation's", func(tr *trial) {
		tr.deliver(of(tr.op(with(recvBuf, func(o *backend.Op) { o.Sink = &sink{} })), eventually(1, nil)))
	}},
	{"sink of another", "Sink is not the operation's", func(tr *trial) {
		c := of(tr.op(with(recvBuf, func(o *backend.Op) { o.Sink = &sink{} })), eventually(1, nil))
		c.Sink = &sink{}
		tr.deliver(c)
	}},
	{"EAGAIN", "law 2", func(tr *trial) { tr.deliver(of(tr.op(recvBuf), eventually(0, syscall.EAGAIN))) }},
	{"EINTR", "law 2", func(tr *trial) { tr.deliver(of(tr.op(recvBuf), eventually(0, syscall.EINTR))) }},
	{"EAGAIN wrapped", "law 2", func(tr *trial) {
		tr.deliver(of(tr.op(recvBuf), eventually(0, fmt.Errorf("recv: %w", syscall.EAGAIN))))
	}},

	{"receives swapped", "law 3", func(tr *trial) {
		tr.op(recvBuf)
		tr.deliver(of(tr.op(recvBuf), eventually(1, nil)))
	}},
	{"sends swapped", "law 3", func(tr *trial) {
		tr.op(sendTen)
		tr.deliver(of(tr.op(sendTen), eventually(10, nil)))
	}},
	{"end overtakes", "law 3", func(tr *trial) {
		tr.op(recvBuf)
		tr.deliver(of(tr.op(recvBuf), eventually(0, io.EOF)))
	}},
	{"third overtakes second", "law 3", func(tr *trial) {
		a := tr.op(recvBuf)
		tr.op(recvBuf)
		c := tr.op(recvBuf)
		tr.deliver(of(a, eventually(1, nil)), of(c, eventually(1, nil)))
	}},
	{"multishot overtaken", "law 3", func(tr *trial) {
		tr.op(multi)
		tr.deliver(of(tr.op(recvLent), lent(1, 1, false)))
	}},
	{"half a send overtakes", "law 3", func(tr *trial) {
		tr.op(sendTen)
		t := tr.op(sendTen)
		tr.c.Cancel(t)
		tr.deliver(of(t, eventually(3, backend.ErrCanceled)))
	}},
	{"read overtakes recv", "law 3", func(tr *trial) {
		tr.op(recvBuf)
		tr.deliver(of(tr.op(with(recvBuf, func(o *backend.Op) { o.Kind = backend.Read })), eventually(1, nil)))
	}},

	{"canceled by nobody", "law 5: nobody canceled it", func(tr *trial) {
		tr.deliver(of(tr.op(recvBuf), eventually(0, backend.ErrCanceled)))
	}},
	{"stale cancel hits", "law 5: nobody canceled it", func(tr *trial) {
		t := tr.op(recvBuf)
		tr.deliver(of(t, eventually(1, nil)))
		tr.token = func() backend.Token { return backend.MakeToken(t.Slot(), 2) }
		next := tr.op(recvBuf)
		tr.c.Cancel(t)
		tr.deliver(of(next, eventually(0, backend.ErrCanceled)))
	}},
	{"a deadline", "law 5: operations have no deadline", func(tr *trial) {
		tr.deliver(of(tr.op(recvBuf), eventually(0, backend.ErrDeadline)))
	}},
	{"closed by nobody", "law 5: nobody closes its descriptor", func(tr *trial) {
		tr.deliver(of(tr.op(recvBuf), eventually(0, backend.ErrClosed)))
	}},
	{"closed by another's close", "law 5: nobody closes its descriptor", func(tr *trial) {
		t := tr.op(with(recvBuf, func(o *backend.Op) { o.FD = 6 }))
		tr.op(closeOp)
		tr.deliver(of(t, eventually(0, backend.ErrClosed)))
	}},
	{"closed by an earlier close", "law 5: nobody closes its descriptor", func(tr *trial) {
		tr.deliver(of(tr.op(closeOp), eventually(0, nil)))
		tr.deliver(of(tr.op(recvBuf), eventually(0, backend.ErrClosed)))
	}},

	{"lent unasked", "a lent buffer where none was asked for", func(tr *trial) { tr.deliver(of(tr.op(recvBuf), lent(1, 1, false))) }},
	{"accept without descriptor", "N must be a descriptor", func(tr *trial) { tr.deliver(of(tr.op(accept), eventually(-1, nil))) }},
	{"accept with error and descriptor", "N must be a descriptor", func(tr *trial) {
		tr.deliver(of(tr.op(accepts), eventually(0, syscall.EMFILE)))
	}},
	{"receive of nothing", "N must be 1 to 10", func(tr *trial) { tr.deliver(of(tr.op(recvBuf), eventually(0, nil))) }},
	{"receive of too much", "N must be 1 to 10", func(tr *trial) { tr.deliver(of(tr.op(recvBuf), eventually(11, nil))) }},
	{"receive with error and bytes", "0 beside an error", func(tr *trial) { tr.deliver(of(tr.op(recvBuf), eventually(1, io.EOF))) }},
	{"lent without lease", "needs N == len(Data) and a Lease", func(tr *trial) { tr.deliver(of(tr.op(recvLent), lent(1, 0, false))) }},
	{"lent with other N", "needs N == len(Data) and a Lease", func(tr *trial) {
		c := of(tr.op(recvLent), lent(2, 1, false))
		c.N = 1
		tr.deliver(c)
	}},
	{"lent beside an error", "a lent buffer beside an error", func(tr *trial) {
		c := of(tr.op(recvLent), lent(1, 1, false))
		c.Err, c.N = io.EOF, 0
		tr.deliver(c)
	}},
	{"lent more than a buffer", "lent 101 bytes from buffers of 100", func(tr *trial) { tr.deliver(of(tr.op(recvLent), lent(101, 1, false))) }},
	{"short send", "N must be all 10 bytes", func(tr *trial) { tr.deliver(of(tr.op(sendTen), eventually(9, nil))) }},
	{"short gather", "N must be all 7 bytes", func(tr *trial) {
		tr.deliver(of(tr.op(backend.Op{Kind: backend.Send, FD: 5, Bufs: [][]byte{make([]byte, 3), nil, make([]byte, 4)}}), eventually(3, nil)))
	}},
	{"send of too much", "N must be all 10 bytes", func(tr *trial) { tr.deliver(of(tr.op(sendTen), eventually(11, syscall.EPIPE))) }},
	{"send of all and an error", "N must be all 10 bytes", func(tr *trial) { tr.deliver(of(tr.op(sendTen), eventually(10, syscall.EPIPE))) }},
	{"short write", "N must be all 10 bytes", func(tr *trial) {
		tr.deliver(of(tr.op(with(sendTen, func(o *backend.Op) { o.Kind = backend.Write })), eventually(9, nil)))
	}},
	{"poll of nothing", "N must be some of events", func(tr *trial) { tr.deliver(of(tr.op(pollIn), eventually(0, nil))) }},
	{"poll of what was not asked", "N must be some of events", func(tr *trial) { tr.deliver(of(tr.op(pollIn), eventually(unix.POLLIN|unix.POLLOUT, nil))) }},
	{"poll with error and events", "N must be some of events", func(tr *trial) { tr.deliver(of(tr.op(pollIn), eventually(unix.POLLIN, syscall.EBADF))) }},
	{"close with N", "N must be 0", func(tr *trial) { tr.deliver(of(tr.op(closeOp), eventually(1, nil))) }},

	{"close before a receive", "a Close completed before recv", func(tr *trial) {
		tr.op(recvBuf)
		tr.deliver(of(tr.op(closeOp), eventually(0, nil)))
	}},
	{"close before a poll", "a Close completed before poll", func(tr *trial) {
		tr.op(pollIn)
		tr.c.Poll(tr.dst[:], 0)
		tr.deliver(of(tr.op(closeOp), eventually(0, nil)))
	}},
	{"close before one of its turn", "a Close completed before send", func(tr *trial) {
		t := tr.op(closeOp)
		tr.op(sendTen)
		tr.deliver(of(t, eventually(0, syscall.EIO)))
	}},
	{"close before another close of its turn", "a Close completed before close", func(tr *trial) {
		t := tr.op(closeOp)
		tr.op(closeOp)
		tr.deliver(of(t, eventually(0, nil)))
	}},

	{"lease lent twice", "lease 0x1 is lent already", func(tr *trial) {
		t := tr.op(multi)
		tr.deliver(of(t, lent(1, 1, true)), of(t, lent(1, 1, true)))
	}},
	{"leases overlap", "overlaps what lease 0x1 lends", func(tr *trial) {
		t := tr.op(multi)
		p := make([]byte, 20)
		a, b := lent(0, 1, true), lent(0, 2, true)
		a.Data, a.N, b.Data, b.N = p[:11:11], 11, p[10:20:20], 10
		tr.deliver(of(t, a), of(t, b))
	}},
	{"more lent than there is", "201 bytes are lent, and there are 200", func(tr *trial) {
		t := tr.op(multi)
		tr.deliver(of(t, lent(100, 1, true)), of(t, lent(100, 2, true)), of(t, lent(1, 3, true)))
	}},
	{"room behind lent bytes", "the capacity of Data, 20, is beyond its length", func(tr *trial) {
		c := of(tr.op(recvLent), lent(0, 1, false))
		c.Data, c.N = make([]byte, 10, 20), 10
		tr.deliver(c)
	}},
	{"released twice", "Release of lease 0x1, which is not on loan", func(tr *trial) {
		tr.deliver(of(tr.op(recvLent), lent(1, 1, false)))
		tr.c.Release(1)
		tr.c.Release(1)
	}},
	{"released unlent", "Release of lease 0x7, which is not on loan", func(tr *trial) { tr.c.Release(7) }},
	{"pipe without lease", "needs N == len(Data) and a Lease", func(tr *trial) { tr.deliver(of(tr.op(spliceOp), piped(5, 0))) }},
	{"pipe for a receive", "needs N == len(Data) and a Lease", func(tr *trial) { tr.deliver(of(tr.op(recvLent), piped(5, 1))) }},
	{"pipe of nothing", "N must be 1 to 0", func(tr *trial) { tr.deliver(of(tr.op(spliceOp), piped(0, 1))) }},
	{"pipe beside an error", "a pipe lent beside an error", func(tr *trial) {
		tr.deliver(of(tr.op(spliceOp), backend.Completion{Lease: 1, Err: io.EOF}))
	}},
	{"pipe unannounced", "Caps has none", func(tr *trial) {
		tr.pipeless = true
		tr.c.(*checked).caps = tr.Caps()
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)))
	}},
	{"pipe lent twice", "lease 0x1 is lent already", func(tr *trial) {
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)), of(tr.op(spliceOp), piped(5, 1)))
	}},
	{"splice overtakes", "law 3", func(tr *trial) {
		tr.op(recvBuf)
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)))
	}},
	{"send of no pipe", "lease 0x1 lends no pipe", func(tr *trial) { tr.op(sendPipe) }},
	{"send of a buffer", "lease 0x1 lends no pipe", func(tr *trial) {
		tr.deliver(of(tr.op(recvLent), lent(5, 1, false)))
		tr.op(sendPipe)
	}},
	{"two sends of a pipe", "another Send of lease 0x1 is in flight", func(tr *trial) {
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)))
		tr.op(sendPipe)
		tr.op(sendPipe)
	}},
	{"short send of a pipe", "N must be all 5 bytes", func(tr *trial) {
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)))
		tr.deliver(of(tr.op(sendPipe), eventually(4, nil)))
	}},
	{"fetch while it is sent", "of which a Send is in flight", func(tr *trial) {
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)))
		tr.op(sendPipe)
		tr.fetched = 3
		tr.c.Fetch(1, make([]byte, 3))
	}},
	{"fetch of no pipe", "which lends no pipe", func(tr *trial) { tr.c.Fetch(1, make([]byte, 3)) }},
	{"fetch of too little", "moved 4 bytes; 5 are left", func(tr *trial) {
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)))
		tr.fetched = 4
		tr.c.Fetch(1, make([]byte, 9))
	}},
	{"fetch of what was sent", "moved 2 bytes; 1 are left", func(tr *trial) {
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)))
		tr.deliver(of(tr.op(sendPipe), eventually(4, syscall.EPIPE)))
		tr.fetched = 2
		tr.c.Fetch(1, make([]byte, 9))
	}},
	{"released while it is sent", "of which a Send is in flight", func(tr *trial) {
		tr.deliver(of(tr.op(spliceOp), piped(5, 1)))
		tr.op(sendPipe)
		tr.c.Release(1)
	}},
	{"short part of a file", "N must be all 10 bytes", func(tr *trial) { tr.deliver(of(tr.op(sendPart), eventually(9, nil))) }},
	{"all of a part and an end", "N must be all 10 bytes", func(tr *trial) { tr.deliver(of(tr.op(sendPart), eventually(10, io.EOF))) }},
	{"file overtakes", "law 3", func(tr *trial) {
		tr.op(sendTen)
		tr.deliver(of(tr.op(sendPart), eventually(10, nil)))
	}},
	{"lent bytes overwritten", "changed while on loan", func(tr *trial) {
		c := of(tr.op(recvLent), lent(9, 1, false))
		tr.deliver(c)
		c.Data[8]++
		tr.c.Release(1)
	}},
}

// TestCheckedKnowsThreads is apart from the others because not every system tells threads apart.
func TestCheckedKnowsThreads(t *testing.T) {
	for _, do := range []func(*trial){func(tr *trial) { tr.op(recvBuf) }, func(tr *trial) { tr.c.Close() }} {
		tr := newTrial()
		tr.c.Start()
		elsewhere(func() { do(tr) })
		if threadID() != 0 && (len(tr.reports) != 1 || !strings.Contains(tr.reports[0], "from another thread than Start's")) {
			t.Errorf("reports %q of a call from another thread", tr.reports)
		}
	}
}

// again gives a trial that was not started, whose reports go to tr.
func again(tr *trial) *trial {
	n := newTrial()
	n.c.(*checked).report = func(msg string) { tr.reports = append(tr.reports, msg) }
	return n
}

func TestCheckedFindsFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			tr := newTrial()
			tr.c.Start()
			f.do(tr)
			if len(tr.reports) != 1 || !strings.Contains(tr.reports[0], f.want) {
				t.Errorf("reports %q; want one with %q", tr.reports, f.want)
			}
		})
	}
}

// TestCheckedAccepts has everything that may happen, and wants nothing said of it.
func TestCheckedAccepts(t *testing.T) {
	tr := newTrial()
	tr.c.Now()
	tr.c.Caps()
	tr.c.Wake()
	tr.c.Start()
	tr.c.Poll(tr.dst[:], backend.Forever) // the Wake's
	tr.c.Poll(tr.dst[:], 1000)            // the clock says 1000
	tr.c.Poll(nil, backend.Forever)       // no room
	tr.c.Release(0)
	tr.c.Cancel(0)
	tr.c.Cancel(12345)
	tr.c.Stats()

	s := funcSink(func(*backend.Completion) {}) // a type that == panics on
	c := of(tr.op(with(recvBuf, func(o *backend.Op) { o.Sink = s })), eventually(10, nil))
	c.Sink = s
	tr.deliver(c)
	tr.deliver(of(tr.op(sendTen), eventually(10, nil)), of(tr.op(pollIn), eventually(unix.POLLIN|unix.POLLHUP, nil)))
	tr.deliver(of(tr.op(accept), eventually(0, nil)), of(tr.op(accept), eventually(-1, syscall.EMFILE)))
	tr.deliver(of(tr.op(sendTen), eventually(9, syscall.ECONNRESET)))
	tr.deliver(of(tr.op(sendPart), eventually(10, nil)), of(tr.op(sendPart), eventually(9, io.EOF)))
	tr.deliver(of(tr.op(spliceOp), piped(500, 1)), of(tr.op(spliceOp), lent(50, 2, false)))
	tr.deliver(of(tr.op(sendPipe), eventually(400, syscall.EPIPE)))
	tr.fetched = 60
	tr.c.Fetch(1, make([]byte, 60))
	tr.deliver(of(tr.op(sendPipe), eventually(40, nil)))
	tr.c.Release(1)
	tr.c.Release(2)
	tr.deliver(of(tr.op(backend.Op{Kind: backend.Send, FD: 5}), eventually(0, nil)))
	tr.deliver(of(tr.op(backend.Op{Kind: backend.Send, FD: 5}), eventually(0, syscall.EPIPE)))
	tr.deliver(of(tr.op(backend.Op{Kind: backend.Connect, FD: 5, Addr: []byte{1}}), eventually(0, syscall.ECONNREFUSED)))
	tr.deliver(of(tr.op(backend.Op{Kind: 77, FD: -5}), eventually(0, &backend.OpError{})))
	tr.deliver(of(tr.op(backend.Op{Kind: backend.Close, FD: 1 << 30}), eventually(0, syscall.EBADF)))

	// Directions are independent, as are descriptors and Poll.
	in, out := tr.op(recvBuf), tr.op(sendTen)
	in2 := tr.op(with(recvBuf, func(o *backend.Op) { o.FD = 6 }))
	p1, p2 := tr.op(pollIn), tr.op(pollIn)
	for _, c := range []backend.Completion{
		of(p2, eventually(unix.POLLIN, nil)), of(in2, eventually(1, nil)), of(out, eventually(10, nil)),
		of(in, eventually(1, nil)), of(p1, eventually(unix.POLLERR, nil)),
	} {
		tr.deliver(c)
	}

	// What ends early may overtake, and a cancel and a close each have their way.
	first := tr.op(multi)
	toks := []backend.Token{tr.op(recvBuf), tr.op(recvBuf), tr.op(recvBuf), tr.op(recvBuf)}
	tr.c.Cancel(toks[2])
	tr.c.Cancel(toks[2])
	tr.c.Cancel(toks[1])
	tr.deliver(of(toks[2], eventually(0, backend.ErrCanceled)), of(toks[1], eventually(0, backend.ErrCanceled)))
	tr.deliver(of(toks[3], eventually(0, backend.ErrTooManyOps)))
	tr.deliver(of(first, lent(100, 1, true)), of(first, lent(100, 2, true)))
	tr.c.Release(2)
	tr.deliver(of(first, lent(50, 2, true)))
	end := tr.op(closeOp)
	late, lateClose := tr.op(recvBuf), tr.op(closeOp)
	tr.deliver(of(late, eventually(0, backend.ErrClosed)), of(lateClose, eventually(0, backend.ErrClosed)),
		of(toks[0], eventually(0, backend.ErrClosed)), of(first, eventually(0, backend.ErrClosed)), of(end, eventually(0, nil)))
	tr.c.Release(1)
	tr.c.Release(2)

	// An operation of a later turn may be the number's new user.
	end = tr.op(closeOp)
	tr.c.Poll(tr.dst[:], 0)
	next := tr.op(recvBuf)
	tr.deliver(of(end, eventually(0, nil)), of(next, eventually(1, nil)))

	// A slot may be in use again before its last completion is out.
	tr.token = func() backend.Token { return backend.MakeToken(77, 1) }
	a := tr.op(recvBuf)
	tr.token = func() backend.Token { return backend.MakeToken(77, 2) }
	b := tr.op(recvBuf)
	tr.c.Cancel(a)
	tr.deliver(of(a, eventually(0, backend.ErrCanceled)), of(b, eventually(1, nil)))

	tr.pollErr = errors.New("broken")
	tr.c.Poll(tr.dst[:], 0)
	tr.c.Close()
	tr.c.Close()
	tr.c.Wake()
	tr.c.Now()
	if len(tr.reports) > 0 {
		t.Errorf("reports of what is right: %q", tr.reports)
	}
	if ops, leases := Outstanding(tr.c); ops != 0 || leases != 0 {
		t.Errorf("%d operations and %d leases are outstanding", ops, leases)
	}
}

func TestOutstanding(t *testing.T) {
	tr := newTrial()
	tr.c.Start()
	tr.deliver(of(tr.op(multi), lent(9, 1, true)))
	tr.op(pollIn)
	if ops, leases := Outstanding(tr.c); ops != 2 || leases != 1 {
		t.Errorf("Outstanding tells %d operations and %d leases; want 2 and 1", ops, leases)
	}
}

// TestCheckedShields holds what the wrapper does to help: the backend keeps no pointer to the Op, is not told of leases
// released twice, and who uses bytes after Release sees them gone.
func TestCheckedShields(t *testing.T) {
	tr := newTrial()
	tr.c.Start()
	var kept *backend.Op
	tr.submit = func(op *backend.Op) { kept = op }
	tr.op(recvBuf)
	if kept.Kind == backend.Recv || kept.Buf != nil {
		t.Errorf("a backend that keeps the pointer sees %+v after Submit", kept)
	}
	tr.submit = nil
	c := of(tr.op(with(recvLent, func(o *backend.Op) { o.FD = 7 })), lent(9, 1, false))
	tr.deliver(c)
	tr.c.Release(1)
	if string(c.Data) != strings.Repeat("\xdb", 9) {
		t.Errorf("bytes after Release are %x", c.Data)
	}
	tr.c.Release(1)
	if n := tr.called["Release"]; n != 1 {
		t.Errorf("the backend was told of %d releases; want 1", n)
	}
}

func TestCheckedAllocatesNothing(t *testing.T) {
	tr := newTrial()
	tr.c.Start()
	op := sendTen
	out := make([]backend.Completion, 1)
	tr.fake.slot = 1
	gen := uint32(0)
	tr.token = func() backend.Token { gen++; return backend.MakeToken(3, gen) }
	if n := testing.AllocsPerRun(1000, func() {
		out[0] = backend.Completion{Token: tr.c.Submit(&op), N: 10}
		tr.fake.out = out
		tr.c.Poll(tr.dst[:], 0)
	}); n != 0 && !testenv.Race {
		t.Errorf("%v allocations for each operation", n)
	}
}
