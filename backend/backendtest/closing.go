//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"io"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// closeTests are about the end of a descriptor (law 8) and of a backend.
var closeTests = []test{
	{name: "ends_the_rest", body: closeEndsRest, everyNet: true},
	{name: "ends_the_rest_same_turn", body: closeEndsRestSameTurn, everyNet: true},
	{name: "submit_while_closing", body: submitWhileClosing, everyNet: true},
	{name: "sends_fin", body: closeSendsFIN, everyNet: true},
	{name: "sends_fin_after_data", body: closeAfterData, everyNet: true},
	{name: "bad_descriptor", body: closeBadDescriptor},
	{name: "listener", body: closeListener, everyNet: true},
	{name: "connecting", body: closeConnecting, everyNet: true, tcpOnly: true},
	{name: "pipe", body: closePipe},
	{name: "after_the_peer", body: closeAfterPeer, everyNet: true},
	{name: "reuse_10000_times", body: closeAndReuse},
	{name: "reuse_before_its_completion", body: reuseBeforeCompletion},
	{name: "backend_with_all_in_flight", body: closeBackend, options: options{dirty: true}, everyNet: true},
	{name: "backend_with_all_unsubmitted", body: closeBackendUnsubmitted, options: options{dirty: true}},
	{name: "backend_with_accepted", body: closeBackendAccepted, options: options{dirty: true}, everyNet: true},
	{name: "backend_with_closing", body: closeBackendClosing, options: options{dirty: true}},
	{name: "backend_with_leases", body: closeBackendLeases, options: options{dirty: true}},
	{name: "backend_never_started", body: closeNeverStarted},
	{name: "backend_twice", body: closeTwice, options: options{dirty: true}},
}

// onOne gives operations of every kind that wait on one connection: to receive, to send, to know.
func (r *rig) onOne() (fd, peer int, ops []backend.Op) {
	r.Helper()
	a, b := r.narrowPair()
	ops = append(recvOps(a), recvOps(a)...)
	ops = append(ops,
		backend.Op{Kind: backend.Send, FD: a, Buf: much()},
		backend.Op{Kind: backend.Send, FD: a, Bufs: pieces(much(), 100_000, 0, 1)},
		backend.Op{Kind: backend.Send, FD: a, Buf: []byte("x")},
		backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN},
		backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLPRI},
	)
	return a, b, ops
}

// wantClosed takes the final completions of what a Close ended. Those that moved nothing must say so; of the sends the
// first may have sent a part.
func (r *rig) wantClosed(toks []backend.Token) {
	r.Helper()
	sends := 0
	for _, t := range toks {
		op := &r.records[t].op
		if op.Kind == backend.Send {
			sends++
		}
		c := r.finish(t)
		if c.Err != backend.ErrClosed || op.Kind != backend.Accept && c.N != 0 && !(op.Kind == backend.Send && sends == 1) {
			r.Errorf("%s has %s; want ErrClosed", describe(op), show(&c))
		}
	}
}

func closeEndsRest(r *rig) {
	fd, _, ops := r.onOne()
	var toks []backend.Token
	for _, op := range ops {
		toks = append(toks, r.submit(op))
	}
	for _, t := range toks {
		r.wantPending(t)
	}
	t := r.submit(backend.Op{Kind: backend.Close, FD: fd})
	r.want(t, 0, nil)
	for _, t := range toks { // all were there when the Close's own came
		if len(r.records[t].queue) == 0 {
			r.Errorf("Close completed before %s", describe(&r.records[t].op))
		}
	}
	r.wantClosed(toks)
	r.wantGone(fd)
}

func closeEndsRestSameTurn(r *rig) {
	fd, _, ops := r.onOne()
	var toks []backend.Token
	for _, op := range ops {
		toks = append(toks, r.submit(op))
	}
	t := r.submit(backend.Op{Kind: backend.Close, FD: fd})
	r.want(t, 0, nil)
	r.wantClosed(toks)
	r.wantGone(fd)
}

func (r *rig) wantGone(fd int) {
	r.Helper()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		r.Errorf("descriptor %d is still open after its Close", fd)
	} else {
		r.disown(fd)
	}
}

func submitWhileClosing(r *rig) {
	for _, pending := range []bool{false, true} {
		fd, _, ops := r.onOne()
		var toks []backend.Token
		if pending {
			for _, op := range ops {
				toks = append(toks, r.submit(op))
			}
			r.settle()
		}
		t := r.submit(backend.Op{Kind: backend.Close, FD: fd})
		n := len(toks)
		for _, op := range ops {
			toks = append(toks, r.submit(op))
		}
		again := r.submit(backend.Op{Kind: backend.Close, FD: fd})
		r.cancel(toks[n]) // what was closed stays closed
		r.want(t, 0, nil)
		r.want(again, 0, backend.ErrClosed)
		c := r.finish(toks[n])
		if c.Err != backend.ErrClosed && c.Err != backend.ErrCanceled {
			r.Errorf("a canceled receive on a closing descriptor has %s", show(&c))
		}
		r.wantClosed(append(toks[:n:n], toks[n+1:]...))
		r.wantGone(fd)
	}
}

// closeSendsFIN has a receive in flight, which alone would keep the kernel from telling the peer.
func closeSendsFIN(r *rig) {
	for i := range recvWays {
		a, b := r.pair()
		t := r.submit(recvOps(a)[i])
		r.wantPending(t)
		r.closeFD(a)
		r.want(t, 0, backend.ErrClosed)
		r.wantEOF(b)
	}
}

func closeAfterData(r *rig) {
	a, b := r.pair()
	in := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	const n = 100_000
	out := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(0, n)})
	got := r.pull(b, n/2)
	if len(r.records[out].queue) == 0 {
		got = append(got, r.pull(b, n-len(got))...)
	}
	r.want(out, n, nil)
	r.closeFD(a)
	r.want(in, 0, backend.ErrClosed)
	rest := make([]byte, n-len(got))
	r.get(b, rest)
	r.wantBytes("what was sent before the close", append(got, rest...), pattern(0, n))
	r.wantEOF(b)
}

// badFD is a descriptor number that is not open. Nothing in a test opens one that could get it.
func (r *rig) badFD() int {
	r.Helper()
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 900)
	r.ok("F_DUPFD", err)
	unix.Close(fd)
	return fd
}

func closeBadDescriptor(r *rig) {
	bad := r.badFD()
	r.want(r.submit(backend.Op{Kind: backend.Close, FD: bad}), 0, unix.EBADF)
	ops := append(recvOps(bad),
		backend.Op{Kind: backend.Send, Buf: []byte("x")},
		backend.Op{Kind: backend.Send, Bufs: [][]byte{[]byte("x"), []byte("y")}},
		backend.Op{Kind: backend.Accept},
		backend.Op{Kind: backend.Accept, Multishot: true},
		backend.Op{Kind: backend.Connect, Addr: rawInet4(1)},
		backend.Op{Kind: backend.Read, Buf: make([]byte, 1)},
		backend.Op{Kind: backend.Write, Buf: []byte("x")},
		backend.Op{Kind: backend.Poll, Events: unix.POLLIN},
	)
	for _, op := range ops {
		op.FD = bad
		n := 0
		if op.Kind == backend.Accept {
			n = -1
		}
		r.want(r.submit(op), n, unix.EBADF)
	}
	r.want(r.submit(backend.Op{Kind: backend.Close, FD: bad}), 0, unix.EBADF)
	// The number is still good for whatever gets it later.
	a, b := r.pair()
	r.ok("dup2", dup2(a, bad))
	r.adopt(bad)
	t := r.submit(backend.Op{Kind: backend.Recv, FD: bad, Multishot: true})
	r.put(b, []byte("hello"))
	r.wantBytes("what came", r.stream(t, 5), []byte("hello"))
}

func closeListener(r *rig) {
	for i := range 3 {
		ln, addr := r.listen(10)
		var toks []backend.Token
		for range 3 {
			toks = append(toks, r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: i > 0}))
		}
		r.wantPending(toks[0])
		if i == 2 { // with connections that may be reported still, or go with the listener
			r.dial(addr)
			r.dial(addr)
			r.closeFD(ln)
			for _, t := range toks {
				c := r.next(t)
				for c.More {
					c = r.next(t)
				}
				if c.Err != backend.ErrClosed {
					r.Errorf("accept ended with %s; want ErrClosed", show(&c))
				}
			}
			continue
		}
		r.closeFD(ln)
		r.wantClosed(toks)
	}
}

func closeConnecting(r *rig) {
	op := r.stuckConnect()
	t := r.submit(op)
	behind := r.submit(backend.Op{Kind: backend.Send, FD: op.FD, Buf: []byte("x")})
	r.wantPending(t)
	r.closeFD(op.FD)
	r.want(t, 0, backend.ErrClosed)
	r.want(behind, 0, backend.ErrClosed)
}

func closePipe(r *rig) {
	in, out := r.pipe()
	t := r.submit(backend.Op{Kind: backend.Read, FD: in, Buf: make([]byte, 10)})
	r.wantPending(t)
	r.closeFD(in)
	r.want(t, 0, backend.ErrClosed)
	r.want(r.submit(backend.Op{Kind: backend.Write, FD: out, Buf: []byte("x")}), 0, unix.EPIPE)

	in, out = r.pipe()
	r.fill(out)
	t = r.submit(backend.Op{Kind: backend.Write, FD: out, Buf: []byte("x")})
	r.wantPending(t)
	r.closeFD(out)
	r.want(t, 0, backend.ErrClosed)
	for there := make([]byte, 1<<16); ; {
		if _, end := r.drain(in, there); end {
			return
		}
	}
}

// closeAfterPeer closes what the peer has closed or reset before, told or not.
func closeAfterPeer(r *rig) {
	for i := range 4 {
		a, b := r.pair()
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
		r.poll(0)
		if i%2 == 0 || r.net == unixNet {
			r.shut(b)
		} else {
			r.reset(b)
		}
		if i >= 2 {
			want := io.EOF
			if i%2 == 1 && r.net != unixNet {
				want = unix.ECONNRESET
			}
			r.want(t, 0, want)
			r.closeFD(a)
			continue
		}
		r.closeFD(a)
		if c := r.finish(t); c.Err != backend.ErrClosed && c.Err != io.EOF && c.Err != unix.ECONNRESET {
			r.Errorf("receive ended with %s", show(&c))
		}
	}
}

// closeAndReuse has a descriptor number change hands again and again, with operations in flight of each owner.
func closeAndReuse(r *rig) {
	rounds := 10_000
	if testenv.Race {
		rounds = 3_000
	}
	numbers := map[int]bool{}
	s := &sink{t: r.TB}
	for i := range rounds {
		p, err := socketPair()
		r.ok("socketpair", err)
		a, b := p[0], p[1]
		numbers[a] = true
		op := recvOps(a)[i%recvWays]
		op.Sink = s
		in := r.submit(op)
		behind := r.submit(backend.Op{Kind: backend.Recv, FD: a, Sink: s})
		poll := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLPRI, Sink: s})
		if i%3 > 0 {
			r.poll(0)
		}
		for _, t := range []backend.Token{in, behind, poll} {
			if len(r.records[t].queue) > 0 {
				r.Fatalf("round %d: %s has %s, meant for another use of the number", i, describe(&r.records[t].op), show(&r.records[t].queue[0]))
			}
		}
		if i%5 == 0 {
			r.put(b, []byte("old"))
		}
		end := r.submit(backend.Op{Kind: backend.Close, FD: a, Sink: s})
		if i%7 == 0 { // the peer's end goes first, or last
			unix.Close(b)
			b = -1
		}
		r.want(end, 0, nil)
		if b >= 0 {
			unix.Close(b)
		}
		for _, t := range []backend.Token{in, behind, poll} {
			for rec := r.records[t]; !rec.final || len(rec.queue) > 0; {
				c := r.next(t)
				switch {
				case c.Err == nil && c.N == 3 && i%5 == 0: // "old" came first
				case c.Err == nil && t == poll: // so did the peer's end
				case c.Err == io.EOF && i%7 == 0, c.Err == backend.ErrClosed:
				default:
					r.Fatalf("round %d: %s has %s", i, describe(&rec.op), show(&c))
				}
				r.release(c.Lease)
			}
			delete(r.records, t)
		}
		delete(r.records, end)
	}
	if len(numbers) > 4 {
		r.Errorf("%d numbers were in use; the test wants the same over and over", len(numbers))
	}
}

// reuseBeforeCompletion has the kernel give a number to a new socket when the old one's Close is through but its
// completion, behind others, still waits for a Poll with room.
func reuseBeforeCompletion(r *rig) {
	var old []int
	var toks []backend.Token
	for range 20 {
		a, b := r.pair()
		toks = append(toks, r.submit(backend.Op{Kind: backend.Recv, FD: a}))
		old = append(old, a)
		r.shut(b)
	}
	for _, fd := range old {
		toks = append(toks, r.submit(backend.Op{Kind: backend.Close, FD: fd}))
		r.disown(fd)
	}
	// The peers' numbers are free. Take them, so that only those from Close are left.
	var block []int
	for range 20 {
		fd, err := newSocket(unix.AF_UNIX, unix.SOCK_STREAM)
		r.ok("socket", err)
		block = append(block, r.adopt(fd))
	}
	one := make([]backend.Completion, 1)
	type conn struct {
		peer int
		t    backend.Token
	}
	var conns []conn
	for i := 0; i < 40; i++ {
		if r.pollInto(one, r.in(limit)) == 0 {
			r.Fatalf("Poll delivered nothing, with completions to come")
		}
		a, b := r.pair()
		conns = append(conns, conn{b, r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})})
		r.put(b, pattern(i, 10))
	}
	for i, c := range conns {
		r.wantBytes("what came to a number's new user", r.stream(c.t, 10), pattern(i, 10))
	}
	for i, t := range toks {
		c := r.finish(t)
		if i < len(old) && c.Err != io.EOF && c.Err != backend.ErrClosed || i >= len(old) && c.Err != nil {
			r.Errorf("%s has %s", describe(&r.records[t].op), show(&c))
		}
	}
	for _, fd := range block {
		r.shut(fd)
	}
}
