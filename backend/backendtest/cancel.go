//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// cancelTests end operations early, at every point of their life. The wrapper holds that each completes once all the
// same; here it is that a cancel is never lost, hits nothing else, and costs no byte.
var cancelTests = []test{
	{name: "unsubmitted", body: cancelUnsubmitted, everyNet: true},
	{name: "pending", body: cancelPending, everyNet: true},
	{name: "completed", body: cancelCompleted},
	{name: "twice", body: cancelTwice},
	{name: "unsubmitted_with_data", body: cancelUnsubmittedWithData, everyNet: true},
	{name: "racing_data", body: cancelRacingData, everyNet: true},
	{name: "racing_data_multishot", body: cancelRacingDataMultishot, everyNet: true},
	{name: "behind_another", body: cancelBehindAnother, everyNet: true},
	{name: "head_of_the_line", body: cancelHead, everyNet: true},
	{name: "half_sent", body: cancelHalfSent, everyNet: true},
	{name: "send_behind_another", body: cancelSendBehind, everyNet: true},
	{name: "connect", body: cancelConnect, everyNet: true, tcpOnly: true},
	{name: "full_queue", body: cancelFullQueue, options: options{cfg: backend.Config{Entries: 8}}},
	{name: "full_queue_same_turn", body: cancelFullQueueSameTurn, options: options{cfg: backend.Config{Entries: 8}}},
	{name: "stale_token", body: cancelStale},
	{name: "close", body: cancelClose},
}

// much is more than the buffers of a connection hold.
var much = sync.OnceValue(func() []byte { return pattern(0, 4<<20) })

// waiting gives operations of every kind that have to wait, each on descriptors of its own.
func (r *rig) waiting() []backend.Op {
	r.Helper()
	var ops []backend.Op
	for i := range recvWays {
		a, _ := r.pair()
		ops = append(ops, recvOps(a)[i])
	}
	for i := range 2 {
		ln, _ := r.listen(5)
		ops = append(ops, backend.Op{Kind: backend.Accept, FD: ln, Multishot: i == 1})
	}
	a, _ := r.narrowPair()
	ops = append(ops, backend.Op{Kind: backend.Send, FD: a, Buf: much()})
	a, _ = r.narrowPair()
	ops = append(ops, backend.Op{Kind: backend.Send, FD: a, Bufs: pieces(much(), 100_000, 0, 1)})
	a, _ = r.pair()
	ops = append(ops, backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN})
	a, _ = r.unixPair()
	r.fill(a)
	ops = append(ops, backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLOUT})
	a, _ = r.unixPair()
	r.fill(a)
	ops = append(ops, backend.Op{Kind: backend.Send, FD: a, Buf: []byte("x")})
	in, _ := r.pipe()
	ops = append(ops, backend.Op{Kind: backend.Read, FD: in, Buf: make([]byte, 10)})
	_, out := r.pipe()
	r.fill(out)
	ops = append(ops, backend.Op{Kind: backend.Write, FD: out, Buf: []byte("x")})
	return ops
}

// wantEnded takes the final completion of one of those, which must be err.
func (r *rig) wantEnded(t backend.Token, err error) {
	r.Helper()
	op := &r.records[t].op
	switch c := r.finish(t); {
	case c.Err != err:
		r.Errorf("%s has %s; want %v", describe(op), show(&c), err)
	case op.Kind == backend.Send && len(op.Buf) != 1:
		// The wrapper has looked at N already.
	case op.Kind == backend.Accept && c.N != -1, op.Kind != backend.Accept && c.N != 0:
		r.Errorf("%s has %s; want nothing done", describe(op), show(&c))
	}
}

func cancelUnsubmitted(r *rig) {
	for _, op := range r.waiting() {
		t := r.submit(op)
		r.cancel(t)
		r.wantEnded(t, backend.ErrCanceled)
	}
	var toks []backend.Token // and all in one turn
	ops := r.waiting()
	for _, op := range ops {
		toks = append(toks, r.submit(op))
	}
	for _, t := range toks {
		r.cancel(t)
	}
	for _, t := range toks {
		r.wantEnded(t, backend.ErrCanceled)
	}
}

func cancelPending(r *rig) {
	ops := r.waiting()
	var toks []backend.Token
	for _, op := range ops {
		toks = append(toks, r.submit(op))
	}
	for _, t := range toks {
		r.wantPending(t)
	}
	for _, t := range toks {
		r.cancel(t)
		r.wantEnded(t, backend.ErrCanceled)
	}
	// They can all be submitted again, and canceled in one turn.
	toks = toks[:0]
	for _, op := range ops {
		toks = append(toks, r.submit(op))
	}
	r.settle()
	for _, t := range toks {
		r.cancel(t)
	}
	for _, t := range toks {
		r.wantEnded(t, backend.ErrCanceled)
	}
}

func cancelCompleted(r *rig) {
	a, b := r.pair()
	for range 100 {
		r.put(b, []byte("x"))
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 1)})
		r.want(t, 1, nil)
		r.cancel(t)
		r.cancel(t)
	}
	r.cancel(0)
	r.cancel(backend.MakeToken(1<<20, 1))
	r.cancel(^backend.Token(0))
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 1)})
	r.wantPending(t)
}

func cancelTwice(r *rig) {
	for _, op := range r.waiting() {
		t := r.submit(op)
		r.cancel(t)
		r.cancel(t)
		r.wantEnded(t, backend.ErrCanceled)
		r.cancel(t)
		t = r.submit(op)
		r.settle()
		r.cancel(t)
		r.poll(0)
		r.cancel(t)
		r.wantEnded(t, backend.ErrCanceled)
	}
}

// cancelUnsubmittedWithData leaves open which of the two comes first, but not where the bytes are.
func cancelUnsubmittedWithData(r *rig) {
	a, b := r.pair()
	for i := range 60 {
		r.put(b, pattern(i, 10))
		r.arrived(a, 10)
		op := recvOps(a)[i%recvWays]
		t := r.submit(op)
		r.cancel(t)
		r.wantBytes("what came", r.untilCanceled(t, a, 10), pattern(i, 10))
	}
}

// untilCanceled takes what t delivers up to its end, and receives the rest of n bytes from fd.
func (r *rig) untilCanceled(t backend.Token, fd, n int) []byte {
	r.Helper()
	var got []byte
	for {
		c := r.next(t)
		switch {
		case c.Err == nil && c.Lease != 0:
			got = append(got, r.lent(&c)...)
			r.release(c.Lease)
		case c.Err == nil:
			got = append(got, r.records[t].op.Buf[:c.N]...)
		case c.Err != backend.ErrCanceled:
			r.Fatalf("%s has %s", describe(&r.records[t].op), show(&c))
		}
		if !c.More {
			break
		}
	}
	for len(got) < n {
		buf := make([]byte, n-len(got))
		c := r.run(backend.Op{Kind: backend.Recv, FD: fd, Buf: buf})
		r.ok("receive", c.Err)
		got = append(got, buf[:c.N]...)
	}
	return got
}

func cancelRacingData(r *rig) {
	a, b := r.pair()
	for i := range 200 {
		op := recvOps(a)[i%recvWays]
		t := r.submit(op)
		r.poll(0)
		if i%2 == 0 {
			r.put(b, pattern(i, 10))
			r.cancel(t)
		} else {
			r.cancel(t)
			r.put(b, pattern(i, 10))
		}
		r.wantBytes("what came", r.untilCanceled(t, a, 10), pattern(i, 10))
	}
}

// cancelRacingDataMultishot cancels in the middle of a stream, over and over.
func cancelRacingDataMultishot(r *rig) {
	a, b := r.pair()
	const n = 4 << 20
	data := pattern(0, n)
	out := r.submit(backend.Op{Kind: backend.Send, FD: b, Buf: data})
	var got []byte
	rounds := 0
	for ; len(got) < n; rounds++ {
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
		if rounds%3 == 0 {
			r.poll(0)
		}
		got = append(got, r.stream(t, 1)...)
		r.cancel(t)
		for {
			c := r.next(t)
			if c.Err != nil && c.Err != backend.ErrCanceled {
				r.Fatalf("receive ended with %s", show(&c))
			}
			got = append(got, c.Data...)
			r.release(c.Lease)
			if !c.More {
				break
			}
		}
	}
	r.want(out, n, nil)
	r.wantBytes("what came", got, data)
}

func cancelBehindAnother(r *rig) {
	a, b := r.pair()
	var bufs [5][10]byte
	var toks [5]backend.Token
	for i := range toks {
		toks[i] = r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: bufs[i][:]})
	}
	r.cancel(toks[1]) // in the turn of its submission
	r.want(toks[1], 0, backend.ErrCanceled)
	r.cancel(toks[3]) // later
	r.want(toks[3], 0, backend.ErrCanceled)
	r.wantPending(toks[0])
	r.put(b, pattern(0, 30))
	r.wantInLine([]backend.Token{toks[0], toks[2], toks[4]}, func(i, n int) []byte { return bufs[2*i][:n] }, 30)
}

func cancelHead(r *rig) {
	a, b := r.pair()
	var bufs [3][10]byte
	for _, same := range []bool{true, false} {
		var toks [3]backend.Token
		for i := range toks {
			op := backend.Op{Kind: backend.Recv, FD: a, Buf: bufs[i][:]}
			if i == 0 {
				op.Buf, op.Multishot = nil, true
			}
			toks[i] = r.submit(op)
		}
		if !same {
			r.wantPending(toks[0])
		}
		r.cancel(toks[0])
		r.want(toks[0], 0, backend.ErrCanceled)
		r.put(b, pattern(0, 20))
		r.wantInLine(toks[1:], func(i, n int) []byte { return bufs[i+1][:n] }, 20)
	}
}

// cancelHalfSent finds out whether N tells what was sent, and goes on from there.
func cancelHalfSent(r *rig) {
	a, b := r.narrowPair()
	const n = 4 << 20
	data := pattern(0, n)
	for i := range 2 {
		op := backend.Op{Kind: backend.Send, FD: a, Buf: data}
		if i == 1 {
			op.Buf, op.Bufs = nil, pieces(data, 100_000, 1, 0)
		}
		t := r.submit(op)
		behind := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("and on")})
		r.wantPending(t)
		r.cancel(t)
		c := r.finish(t)
		if c.Err != backend.ErrCanceled || c.N <= 0 || c.N >= n {
			r.Fatalf("send has %s; want ErrCanceled and how much was sent", show(&c))
		}
		r.wantBytes("what was sent", r.pull(b, c.N), data[:c.N])
		r.wantBytes("what was sent then", r.pull(b, 6), []byte("and on"))
		r.want(behind, 6, nil)
	}
}

func cancelSendBehind(r *rig) {
	a, b := r.narrowPair()
	const n = 4 << 20
	data := pattern(0, n)
	first := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: data})
	second := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("never")})
	third := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("third")})
	r.wantPending(first)
	r.cancel(second)
	r.want(second, 0, backend.ErrCanceled)
	r.wantPending(first)
	r.wantBytes("what was sent", r.pull(b, n), data)
	r.wantBytes("what was sent then", r.pull(b, 5), []byte("third"))
	r.want(first, n, nil)
	r.want(third, 5, nil)
}

// stuckConnect gives a Connect that cannot go on: its listener's queue is full.
func (r *rig) stuckConnect() backend.Op {
	r.Helper()
	_, addr := r.listen(0)
	for range 20 {
		fd := r.socket()
		err := unix.Connect(fd, addr.sa)
		if err == unix.EINPROGRESS {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			if n, _ := unix.Poll(p, int(moment.Milliseconds())); n == 0 {
				return backend.Op{Kind: backend.Connect, FD: r.socket(), Addr: addr.raw}
			}
		} else {
			r.ok("connect", err)
		}
	}
	r.Fatalf("a listener without a queue took 20 connections")
	return backend.Op{}
}

func cancelConnect(r *rig) {
	op := r.stuckConnect()
	t := r.submit(op)
	r.cancel(t)
	r.want(t, 0, backend.ErrCanceled)
	r.closeFD(op.FD)
	op.FD = r.socket()
	t = r.submit(op)
	behind := r.submit(backend.Op{Kind: backend.Send, FD: op.FD, Buf: []byte("x")})
	r.wantPending(t)
	r.cancel(behind)
	r.want(behind, 0, backend.ErrCanceled)
	r.cancel(t)
	r.want(t, 0, backend.ErrCanceled)
}

// cancelMany fills any submission queue with operations and cancels, and cancels again.
func (r *rig) cancelMany(pollBetween bool) {
	const conns, each = min(100, manyPairs), 40
	rng := rand.New(rand.NewPCG(3, 4))
	var toks []backend.Token
	var fds, peers []int
	for range conns {
		a, b := r.pair()
		fds, peers = append(fds, a), append(peers, b)
	}
	for i := range each {
		for _, fd := range fds {
			op := recvOps(fd)[i%3]
			if i%5 == 4 {
				op = backend.Op{Kind: backend.Poll, FD: fd, Events: unix.POLLIN}
			}
			toks = append(toks, r.submit(op))
		}
	}
	if pollBetween {
		r.settle()
	}
	all := slices.Clone(toks)
	rng.Shuffle(len(toks), func(i, j int) { toks[i], toks[j] = toks[j], toks[i] })
	for _, t := range toks {
		r.cancel(t)
	}
	for _, t := range toks[:len(toks)/2] {
		r.cancel(t)
	}
	for _, t := range all {
		r.want(t, 0, backend.ErrCanceled)
	}
	for i, fd := range fds { // and no byte was taken
		r.put(peers[i], pattern(i, 10))
		c := r.run(backend.Op{Kind: backend.Recv, FD: fd})
		r.ok("receive", c.Err)
		r.wantBytes("what came", c.Data, pattern(i, 10))
		r.release(c.Lease)
	}
}

func cancelFullQueue(r *rig) { r.cancelMany(true) }

func cancelFullQueueSameTurn(r *rig) { r.cancelMany(false) }

// cancelStale has tokens of operations long done, whose slots are in use again.
func cancelStale(r *rig) {
	a, b := r.pair()
	c, d := r.pair()
	var stale []backend.Token
	for range 50 {
		r.put(b, []byte("x"))
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 1)})
		r.want(t, 1, nil)
		stale = append(stale, t)
		live := r.submit(backend.Op{Kind: backend.Recv, FD: c, Buf: make([]byte, 1)})
		for _, s := range stale {
			r.cancel(s)
		}
		r.poll(0)
		for _, s := range stale {
			r.cancel(s)
		}
		for range 3 {
			r.poll(0)
		}
		if rec := r.records[live]; len(rec.queue) > 0 {
			r.Fatalf("a stale cancel hit another operation: %s", show(&rec.queue[0]))
		}
		r.put(d, []byte("y"))
		r.want(live, 1, nil)
	}
}

// cancelClose leaves open whether a Close can be canceled, but not what its completion says.
func cancelClose(r *rig) {
	for i := range 2 {
		a, _ := r.pair()
		in := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
		if i == 1 {
			r.wantPending(in)
		}
		t := r.submit(backend.Op{Kind: backend.Close, FD: a})
		r.cancel(t)
		c := r.finish(t)
		_, err := unix.FcntlInt(uintptr(a), unix.F_GETFD, 0)
		switch {
		case c.Err == nil && err == unix.EBADF:
			r.disown(a)
			r.want(in, 0, backend.ErrClosed)
		case c.Err == backend.ErrCanceled && err == nil:
			r.cancel(in)
			r.finish(in)
		default:
			r.Errorf("a Close that was canceled has %s; the descriptor: %v", show(&c), err)
		}
	}
}
