//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// small is a backend whose queues any test overruns.
var small = options{cfg: backend.Config{Entries: 16}}

// overflowTests go beyond each bound: of the submission queue, the completion queue, dst and MaxOps.
var overflowTests = []test{
	{name: "four_times_the_queue", body: fourTimesQueue, options: small},
	{name: "hundred_times_the_queue", body: hundredTimesQueue, options: small},
	{name: "completions", body: overflowCompletions, options: small},
	{name: "completions_multishot", body: overflowMultishot, options: small},
	{name: "completions_accept", body: overflowAccept, options: small, everyNet: true},
	{name: "small_dst", body: smallDst},
	{name: "dst_of_one", body: dstOfOne, options: small},
	{name: "dst_of_none", body: dstOfNone},
	{name: "max_ops", body: maxOps, options: options{cfg: backend.Config{MaxOps: 10}}},
	{name: "max_ops_turnover", body: maxOpsTurnover, options: options{cfg: backend.Config{MaxOps: 4}}},
	{name: "bad_operations", body: badOperations},
	{name: "stats", body: stats},
}

func fourTimesQueue(r *rig) { r.burst(64) }

func hundredTimesQueue(r *rig) { r.burst(1600) }

// burst submits n sends and n receives in one turn, over a few connections.
func (r *rig) burst(n int) {
	const conns, size = 16, 20
	var as, bs [conns]int
	for i := range conns {
		as[i], bs[i] = r.pair()
	}
	bufs := make([][size]byte, n)
	var ins, outs []backend.Token
	for i := range n {
		at := i / conns * size // in the connection's stream
		outs = append(outs, r.submit(backend.Op{Kind: backend.Send, FD: as[i%conns], Buf: pattern(at, size)}))
		ins = append(ins, r.submit(backend.Op{Kind: backend.Recv, FD: bs[i%conns], Buf: bufs[i][:]}))
	}
	for _, t := range outs {
		r.want(t, size, nil)
	}
	for c := range conns {
		var toks []backend.Token
		for i := c; i < n; i += conns {
			toks = append(toks, ins[i])
		}
		r.wantInLine(toks, func(i, n int) []byte { return bufs[i*conns+c][:n] }, len(toks)*size)
	}
}

// overflowCompletions has far more operations complete between two Polls than a queue holds.
func overflowCompletions(r *rig) {
	const conns, each = min(200, manyPairs), 20
	type conn struct {
		b    int
		toks []backend.Token
		bufs [each][1]byte
	}
	var cs [conns]conn
	for i := range cs {
		a, b := r.pair()
		cs[i].b = b
		for k := range each {
			op := backend.Op{Kind: backend.Recv, FD: a, Buf: cs[i].bufs[k][:]}
			if k == each-1 {
				op = backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN}
			}
			cs[i].toks = append(cs[i].toks, r.submit(op))
		}
	}
	r.settle()
	for i := range cs {
		r.put(cs[i].b, pattern(i, each))
	}
	for i := range cs {
		for k, t := range cs[i].toks {
			if k == each-1 {
				r.want(t, unix.POLLIN, nil)
				continue
			}
			r.want(t, 1, nil)
			if cs[i].bufs[k][0] != patternByte(i+k) {
				r.Fatalf("byte %d of connection %d is wrong", k, i)
			}
		}
	}
}

// overflowMultishot has completions of multishot receives pile up; the kernel ends those when they overflow, which
// must not show.
func overflowMultishot(r *rig) {
	const conns, each = 60, 40
	type conn struct {
		b int
		t backend.Token
	}
	var cs [conns]conn
	for i := range cs {
		a, b := r.pair()
		cs[i] = conn{b, r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})}
	}
	r.settle()
	for k := range each {
		for i := range cs {
			r.put(cs[i].b, pattern(i+k, 1))
		}
	}
	for i := range cs {
		r.wantBytes("what came", r.stream(cs[i].t, each), pattern(i, each))
	}
	for i := range cs {
		r.put(cs[i].b, pattern(i, 10))
		r.wantBytes("what came later", r.stream(cs[i].t, 10), pattern(i, 10))
	}
}

func overflowAccept(r *rig) {
	const n = 300
	ln, addr := r.listen(n)
	t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
	r.poll(0)
	for i := range n {
		r.put(r.dial(addr), []byte{byte(i), byte(i >> 8)})
	}
	for i := range n {
		c := r.next(t)
		r.ok("accept", c.Err)
		var p [2]byte
		r.get(c.N, p[:])
		if got := int(p[0]) | int(p[1])<<8; got != i {
			r.Fatalf("accept %d got connection %d", i, got)
		}
	}
	r.wantPending(t)
}

// smallDst has Poll deliver what fits and the rest later, without waiting, in order.
func smallDst(r *rig) {
	const n = min(500, manyPairs)
	var toks []backend.Token
	for range n {
		a, b := r.pair()
		toks = append(toks, r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 1)}))
		r.put(b, []byte("x"))
	}
	dst := make([]backend.Completion, 7)
	got := 0
	r.promptly("Polls with completions waiting", func() {
		for got < n {
			k := r.pollInto(dst, r.in(limit))
			if k == 0 {
				r.Fatalf("Poll delivered nothing, with %d completions to come", n-got)
			}
			got += k
		}
	})
	for _, t := range toks {
		r.want(t, 1, nil)
	}
}

func dstOfOne(r *rig) {
	one := make([]backend.Completion, 1)
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	var got []byte
	for i := range 200 {
		r.put(b, pattern(2*i, 1))
		r.pollInto(one, r.in(limit))
		r.put(b, pattern(2*i+1, 1))
		r.pollInto(one, r.in(limit))
		for len(r.records[t].queue) > 0 {
			got = append(got, r.stream(t, 1)...)
		}
	}
	got = append(got, r.stream(t, 400-len(got))...)
	r.wantBytes("what came", got, pattern(0, 400))
}

// dstOfNone carries out what was submitted and keeps what came of it.
func dstOfNone(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("hello")})
	for range 10 {
		r.pollInto(nil, 0)
	}
	var p [5]byte
	r.get(b, p[:])
	r.want(t, 5, nil)
}

func maxOps(r *rig) {
	var toks []backend.Token
	var fds []int
	for range 10 {
		a, _ := r.pair()
		fds = append(fds, a)
		toks = append(toks, r.submit(backend.Op{Kind: backend.Recv, FD: a}))
	}
	for round := range 3 {
		for _, op := range []backend.Op{
			{Kind: backend.Recv, FD: fds[0]}, {Kind: backend.Send, FD: fds[1], Buf: []byte("x")}, {Kind: backend.Poll, FD: fds[2]},
		} {
			r.want(r.submit(op), 0, backend.ErrTooManyOps)
		}
		r.want(r.submit(backend.Op{Kind: backend.Accept, FD: fds[0]}), -1, backend.ErrTooManyOps)
		r.wantPending(toks[round])
		r.cancel(toks[round]) // makes room for one
		r.want(toks[round], 0, backend.ErrCanceled)
		toks[round] = r.submit(backend.Op{Kind: backend.Recv, FD: fds[round]})
		r.wantPending(toks[round])
	}
	// A Close needs no room: how else would there be some again.
	r.closeFD(fds[0])
	r.want(toks[0], 0, backend.ErrClosed)
	for _, t := range toks[1:] {
		r.cancel(t)
		r.want(t, 0, backend.ErrCanceled)
	}
}

// maxOpsTurnover has far more operations than MaxOps, one after the other.
func maxOpsTurnover(r *rig) {
	a, b := r.pair()
	for i := range 500 {
		in := r.submit(backend.Op{Kind: backend.Recv, FD: a})
		out := r.submit(backend.Op{Kind: backend.Send, FD: b, Buf: pattern(i, 3)})
		poll := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLPRI})
		r.want(out, 3, nil)
		r.wantBytes("what came", r.stream(in, 3), pattern(i, 3))
		r.cancel(poll)
		r.want(poll, 0, backend.ErrCanceled)
	}
}

// badOperations have their completion say what is wrong, and that is all that comes of them.
func badOperations(r *rig) {
	a, b := r.pair()
	pending := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 10)})
	ops := []backend.Op{
		{},
		{FD: a},
		{Kind: backend.Close + 1, FD: a},
		{Kind: 255, FD: a},
		{Kind: backend.Recv, FD: -1},
		{Kind: backend.Accept, FD: -1},
		{Kind: backend.Close, FD: -1},
		{Kind: backend.Recv, FD: a, Buf: []byte{}},
		{Kind: backend.Recv, FD: a, Buf: make([]byte, 1), Multishot: true},
		{Kind: backend.Read, FD: a},
		{Kind: backend.Read, FD: a, Buf: []byte{}},
		{Kind: backend.Send, FD: a, Buf: []byte("x"), Multishot: true},
		{Kind: backend.Send, FD: a, Buf: []byte("x"), Bufs: [][]byte{[]byte("y")}},
		{Kind: backend.Write, FD: a, Bufs: [][]byte{[]byte("y")}},
		{Kind: backend.Connect, FD: a},
		{Kind: backend.Close, FD: a, Multishot: true},
	}
	toks := make([]backend.Token, len(ops))
	for i, op := range ops {
		toks[i] = r.submit(op)
	}
	r.cancel(toks[1])
	for i, t := range toks {
		c := r.finish(t)
		if i == 1 && c.Err == backend.ErrCanceled {
			continue
		}
		want := ops[i].Check()
		e, ok := c.Err.(*backend.OpError)
		if !ok || *e != *want.(*backend.OpError) {
			r.Errorf("%s has %s; want error %q", describe(&ops[i]), show(&c), want)
		}
	}
	r.wantPending(pending)
	r.put(b, []byte("x"))
	r.want(pending, 1, nil)
}

// stats counts what the test did.
func stats(r *rig) {
	before := r.b.Stats()
	a, b := r.pair()
	polls, completions := uint64(0), uint64(0)
	poll := func(until backend.Op) {
		t := r.submit(until)
		for len(r.records[t].queue) == 0 {
			completions += uint64(r.poll(r.in(limit)))
			polls++
		}
		r.release(r.next(t).Lease)
	}
	for range 10 {
		poll(backend.Op{Kind: backend.Send, FD: b, Buf: []byte("x")})
		poll(backend.Op{Kind: backend.Recv, FD: a})
	}
	after := r.b.Stats()
	if n := after.Submitted - before.Submitted; n != 20 {
		r.Errorf("Stats.Submitted counts %d; want 20", n)
	}
	if n := after.Completions - before.Completions; n != completions {
		r.Errorf("Stats.Completions counts %d; want %d", n, completions)
	}
	if n := after.Polls - before.Polls; n != polls {
		r.Errorf("Stats.Polls counts %d; want %d", n, polls)
	}
	if after.Syscalls <= before.Syscalls {
		r.Errorf("Stats.Syscalls went from %d to %d", before.Syscalls, after.Syscalls)
	}
	if after.Starved != 0 {
		r.Errorf("Stats.Starved is %d where buffers never ran out", after.Starved)
	}
	waits := after.Waits
	r.poll(r.in(moment))
	if n := r.b.Stats().Waits; n <= waits {
		r.Errorf("Stats.Waits went from %d to %d over a Poll that waited", waits, n)
	}
}
