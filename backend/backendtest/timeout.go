//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"time"

	"github.com/eyewall/eyewall/backend"
)

// timeoutTests end operations as a caller does whose timer has expired: it polls until then, and cancels. The wrapper
// holds that each completes once all the same.
var timeoutTests = []test{
	{name: "expires", body: timeoutExpires, everyNet: true},
	{name: "nothing_lost", body: timeoutNothingLost, everyNet: true},
	{name: "multishot", body: timeoutMultishot, everyNet: true},
	{name: "multishot_accept", body: timeoutMultishotAccept, everyNet: true},
	{name: "ends_a_poll_without_limit", body: timeoutEndsPoll},
}

// timeout polls for as long as d, or until t is complete, and then cancels t.
func (r *rig) timeout(t backend.Token, d time.Duration) {
	r.Helper()
	for until := r.in(d); !r.records[t].final && r.b.Now() < until; {
		r.poll(until)
	}
	r.cancel(t)
}

// timeoutExpires has the time of many operations be over at once.
func timeoutExpires(r *rig) {
	ops := r.waiting()
	var toks []backend.Token
	for _, op := range ops {
		toks = append(toks, r.submit(op))
	}
	r.timeout(toks[0], 2*moment)
	for _, t := range toks {
		r.cancel(t)
	}
	for _, t := range toks {
		r.wantEnded(t, backend.ErrCanceled)
	}
}

// timeoutNothingLost has timeouts and data cross, over and over.
func timeoutNothingLost(r *rig) {
	a, b := r.pair()
	for i := range 60 {
		t := r.submit(recvOps(a)[i%recvWays])
		half := time.Duration(i%7) * 50 * time.Microsecond
		if i%2 == 0 {
			r.timeout(t, half)
		} else {
			r.poll(r.in(half))
		}
		r.put(b, pattern(i, 10))
		r.timeout(t, half)
		r.wantBytes("what came", r.untilCanceled(t, a, 10), pattern(i, 10))
	}
}

func timeoutMultishot(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	for i := range 5 {
		r.put(b, pattern(i, 10))
		r.wantBytes("what came", r.stream(t, 10), pattern(i, 10))
	}
	r.timeout(t, moment)
	r.want(t, 0, backend.ErrCanceled)
	r.put(b, pattern(0, 10))
	r.wantBytes("what came after", r.stream(r.submit(backend.Op{Kind: backend.Recv, FD: a}), 10), pattern(0, 10))
}

func timeoutMultishotAccept(r *rig) {
	ln, addr := r.listen(10)
	t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
	for range 3 {
		r.dial(addr)
		r.ok("accept", r.next(t).Err)
	}
	r.timeout(t, moment)
	r.want(t, -1, backend.ErrCanceled)
	r.dial(addr)
	r.ok("accept after", r.run(backend.Op{Kind: backend.Accept, FD: ln}).Err)
}

// timeoutEndsPoll has the Poll behind the cancel wait without limit.
func timeoutEndsPoll(r *rig) {
	a, _ := r.pair()
	for range 3 {
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a})
		r.timeout(t, moment)
		for !r.records[t].final {
			r.poll(backend.Forever)
		}
		r.want(t, 0, backend.ErrCanceled)
	}
}
