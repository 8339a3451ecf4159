//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"math/rand/v2"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// deadlineTests end operations by the clock. The wrapper holds that none ends before its time.
var deadlineTests = []test{
	{name: "expires", body: deadlineExpires, everyNet: true},
	{name: "past", body: deadlinePast, everyNet: true},
	{name: "connect", body: deadlineConnect, everyNet: true, tcpOnly: true},
	{name: "half_sent", body: deadlineHalfSent, everyNet: true},
	{name: "data_wins", body: dataWins, everyNet: true},
	{name: "data_wins_over_the_past", body: dataWinsOverPast, everyNet: true},
	{name: "nothing_lost", body: deadlineNothingLost, everyNet: true},
	{name: "multishot", body: deadlineMultishot, everyNet: true},
	{name: "multishot_accept", body: deadlineMultishotAccept, everyNet: true},
	{name: "behind_another", body: deadlineBehind, everyNet: true},
	{name: "in_order", body: deadlinesInOrder},
	{name: "canceled_before", body: deadlineCanceled},
	{name: "wakes_a_poll_without_limit", body: deadlineEndsPoll},
	{name: "many_that_do_not_expire", body: deadlinesMet},
}

func deadlineExpires(r *rig) {
	ops := r.waiting()
	var toks []backend.Token
	for _, op := range ops {
		op.Deadline = r.in(2 * moment)
		toks = append(toks, r.submit(op))
	}
	for _, t := range toks {
		r.wantEnded(t, backend.ErrDeadline)
	}
}

// deadlinePast submits what is too late already. A clock's first nanosecond is as past as any time: 0 means none.
func deadlinePast(r *rig) {
	time.Sleep(time.Millisecond)
	for _, op := range r.waiting() {
		for _, d := range []time.Duration{1, -1, -time.Hour, r.b.Now()} {
			op.Deadline = d
			r.wantEnded(r.submit(op), backend.ErrDeadline)
		}
	}
}

func deadlineConnect(r *rig) {
	op := r.stuckConnect()
	op.Deadline = r.in(2 * moment)
	r.want(r.submit(op), 0, backend.ErrDeadline)
	r.closeFD(op.FD)
	op.FD, op.Deadline = r.socket(), 1
	r.want(r.submit(op), 0, backend.ErrDeadline)
}

func deadlineHalfSent(r *rig) {
	a, b := r.narrowPair()
	const n = 4 << 20
	data := pattern(0, n)
	t := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: data, Deadline: r.in(2 * moment)})
	c := r.finish(t)
	if c.Err != backend.ErrDeadline || c.N <= 0 || c.N >= n {
		r.Fatalf("send has %s; want ErrDeadline and how much was sent", show(&c))
	}
	rest := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: data[c.N:]})
	r.wantBytes("what was sent", r.pull(b, n), data)
	r.want(rest, n-c.N, nil)
}

// sleepPast waits without polling until the backend's clock is beyond when.
func (r *rig) sleepPast(when time.Duration) {
	for r.b.Now() <= when {
		time.Sleep(time.Millisecond)
	}
}

// dataWins has both the data and the deadline come between two Polls (law 5).
func dataWins(r *rig) {
	for i := range recvWays {
		a, b := r.pair()
		op := recvOps(a)[i]
		op.Deadline = r.in(5 * moment)
		t := r.submit(op)
		r.poll(0)
		r.put(b, []byte("x"))
		r.sleepPast(op.Deadline)
		c := r.next(t)
		if c.Err != nil || c.N != 1 {
			r.Fatalf("data came before the deadline and the next Poll after it, but %s has %s", describe(&op), show(&c))
		}
		r.release(c.Lease)
		if c.More {
			r.want(t, 0, backend.ErrDeadline)
		}
	}
	ln, addr := r.listen(1)
	op := backend.Op{Kind: backend.Accept, FD: ln, Deadline: r.in(5 * moment)}
	t := r.submit(op)
	a, b := r.pair()
	op2 := backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN, Deadline: op.Deadline}
	t2 := r.submit(op2)
	r.poll(0)
	r.dial(addr)
	r.put(b, []byte("x"))
	r.sleepPast(op.Deadline)
	if c := r.finish(t); c.Err != nil {
		r.Errorf("a client came before the deadline and the next Poll after it, but accept has %s", show(&c))
	}
	r.want(t2, unix.POLLIN, nil)
}

// dataWinsOverPast has the data there before the operation, and the deadline too.
func dataWinsOverPast(r *rig) {
	time.Sleep(time.Millisecond)
	for i := range recvWays {
		a, b := r.pair()
		r.put(b, []byte("x"))
		r.arrived(a, 1)
		op := recvOps(a)[i]
		op.Deadline = 1
		t := r.submit(op)
		c := r.next(t)
		if c.Err != nil || c.N != 1 {
			r.Fatalf("data is there, but %s has %s", describe(&op), show(&c))
		}
		r.release(c.Lease)
		if c.More {
			r.want(t, 0, backend.ErrDeadline)
		}
		r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("y"), Deadline: 1}), 1, nil)
		r.want(r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLOUT, Deadline: 1}), unix.POLLOUT, nil)
	}
}

// deadlineNothingLost has deadlines and data cross, over and over.
func deadlineNothingLost(r *rig) {
	a, b := r.pair()
	for i := range 60 {
		op := recvOps(a)[i%recvWays]
		op.Deadline = r.in(time.Duration(i%7) * 100 * time.Microsecond)
		t := r.submit(op)
		for range i % 5 {
			r.poll(r.in(50 * time.Microsecond))
		}
		r.put(b, pattern(i, 10))
		r.wantBytes("what came", r.untilCanceled(t, a, 10), pattern(i, 10))
	}
}

func deadlineMultishot(r *rig) {
	a, b := r.pair()
	op := backend.Op{Kind: backend.Recv, FD: a, Multishot: true, Deadline: r.in(10 * moment)}
	t := r.submit(op)
	for i := range 5 {
		r.put(b, pattern(i, 10))
		r.wantBytes("what came", r.stream(t, 10), pattern(i, 10))
	}
	r.want(t, 0, backend.ErrDeadline)
	r.put(b, pattern(0, 10))
	r.wantBytes("what came after", r.stream(r.submit(backend.Op{Kind: backend.Recv, FD: a}), 10), pattern(0, 10))
}

func deadlineMultishotAccept(r *rig) {
	ln, addr := r.listen(10)
	t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true, Deadline: r.in(10 * moment)})
	for range 3 {
		r.dial(addr)
		r.ok("accept", r.next(t).Err)
	}
	r.want(t, -1, backend.ErrDeadline)
	r.dial(addr)
	r.ok("accept after", r.run(backend.Op{Kind: backend.Accept, FD: ln}).Err)
}

// deadlineBehind has one in the middle of the line expire.
func deadlineBehind(r *rig) {
	a, b := r.pair()
	var bufs [3][10]byte
	var toks [3]backend.Token
	for i := range toks {
		op := backend.Op{Kind: backend.Recv, FD: a, Buf: bufs[i][:]}
		if i == 1 {
			op.Deadline = r.in(moment)
		}
		toks[i] = r.submit(op)
	}
	r.want(toks[1], 0, backend.ErrDeadline)
	r.wantPending(toks[0])
	r.put(b, pattern(0, 20))
	r.wantInLine([]backend.Token{toks[0], toks[2]}, func(i, n int) []byte { return bufs[2*i][:n] }, 20)
}

// deadlinesInOrder has many expire, submitted in any order. All are at the head of their line and have begun: how long
// it takes to end one that waits is the backend's affair.
func deadlinesInOrder(r *rig) {
	const n = 100
	rng := rand.New(rand.NewPCG(5, 6))
	deadlines := make(map[backend.Token]time.Duration)
	start := r.in(10 * moment)
	for _, k := range rng.Perm(n) {
		a, _ := r.pair()
		op := recvOps(a)[k%3]
		op.Deadline = start + time.Duration(k)*300*time.Microsecond
		deadlines[r.submit(op)] = op.Deadline
	}
	r.poll(0)
	var last time.Duration
	for left := n; left > 0; {
		k := r.poll(r.in(limit))
		if k == 0 {
			r.Fatalf("%d operations do not end at their deadlines", left)
		}
		for _, c := range r.dst[:k] {
			d := deadlines[c.Token]
			if c.Err != backend.ErrDeadline {
				r.Fatalf("%s; want ErrDeadline", show(&c))
			}
			if d < last {
				r.Fatalf("a deadline expired %v out of order", last-d)
			}
			last = d
			left--
		}
	}
}

func deadlineCanceled(r *rig) {
	ops := r.waiting()
	toks := make([]backend.Token, len(ops))
	deadline := r.in(100 * moment) // beyond what canceling takes on any machine
	for i, op := range ops {
		op.Deadline = deadline
		toks[i] = r.submit(op)
	}
	r.poll(0)
	for _, t := range toks {
		r.cancel(t)
	}
	for _, t := range toks {
		r.wantEnded(t, backend.ErrCanceled)
	}
	// A slot that is used again must not inherit the deadline.
	for i, op := range ops {
		toks[i] = r.submit(op)
	}
	for r.b.Now() < deadline+moment {
		r.poll(deadline + moment)
	}
	for _, t := range toks {
		r.wantPending(t)
		r.cancel(t)
		r.wantEnded(t, backend.ErrCanceled)
	}
}

func deadlineEndsPoll(r *rig) {
	a, _ := r.pair()
	for range 3 {
		began := time.Now()
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Deadline: r.in(moment)})
		for len(r.records[t].queue) == 0 {
			r.poll(backend.Forever)
		}
		r.want(t, 0, backend.ErrDeadline)
		if took := time.Since(began); took > limit/2 {
			r.Errorf("a deadline %v away took %v", moment, took)
		}
	}
}

// deadlinesMet sets a deadline with each of many operations, as a server does, and meets them all.
func deadlinesMet(r *rig) {
	a, b := r.pair()
	for i := range 3000 {
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Deadline: r.in(time.Hour + time.Duration(i%10)*time.Minute)})
		if i%2 == 0 {
			r.poll(0)
		}
		r.put(b, pattern(i, 1))
		r.wantBytes("what came", r.stream(t, 1), pattern(i, 1))
	}
}
