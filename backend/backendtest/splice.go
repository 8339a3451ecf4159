//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"io"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// spliceTests are about bytes that are only to be sent on, in pipes or, where the backend likes that better, in memory.
var spliceTests = []test{
	{name: "relay", body: spliceRelay, everyNet: true},
	{name: "relay_to_slow_reader", body: spliceRelaySlowly, everyNet: true},
	{name: "end_after_data", body: spliceEndAfterData, everyNet: true},
	{name: "in_line", body: spliceInLine, everyNet: true},
	{name: "fetch_in_parts", body: spliceFetch, everyNet: true},
	{name: "released_unsent", body: spliceReleasedUnsent, everyNet: true},
	{name: "many_lent", body: spliceManyLent, everyNet: true},
	{name: "buffers_and_pipes_lent", body: spliceManyLent, options: few},
	{name: "half_sent", body: spliceHalfSent, everyNet: true},
	{name: "peer_gone", body: splicePeerGone, everyNet: true},
	{name: "no_pipe", body: spliceNoPipe, options: options{raw: true}},
	{name: "urgent_data", body: spliceUrgent, everyNet: true, tcpOnly: true},
	{name: "backend_with_pipes_lent", body: spliceCloseBackend, options: options{dirty: true}},
}

// sendLent is the operation that sends on what c has lent.
func sendLent(fd int, c *backend.Completion) backend.Op {
	if c.Data != nil {
		return backend.Op{Kind: backend.Send, FD: fd, Buf: c.Data}
	}
	return backend.Op{Kind: backend.Send, FD: fd, Lease: c.Lease}
}

// relay sends on n bytes that come on from to to, and then the end.
func (r *rig) relay(to, from, n int, between func()) {
	r.Helper()
	moved := 0
	for {
		in := r.run(backend.Op{Kind: backend.Splice, FD: from})
		if in.Err == io.EOF {
			break
		}
		r.ok("splice", in.Err)
		out := r.submit(sendLent(to, &in))
		for len(r.records[out].queue) == 0 {
			between()
			r.breathe("room to send")
		}
		r.want(out, in.N, nil)
		r.release(in.Lease)
		moved += in.N
	}
	if moved != n {
		r.Fatalf("%d bytes were sent on, of %d", moved, n)
	}
	r.shutWrite(to)
}

// spliceRelay sends on what another connection brings, in pieces of many sizes.
func spliceRelay(r *rig) {
	from, source := r.pair()
	to, sink := r.pair()
	n := 0
	for i := range 200 {
		size := 1 + i*i%4000
		r.put(source, pattern(n, size))
		r.arrived(from, size)
		in := r.run(backend.Op{Kind: backend.Splice, FD: from})
		r.ok("splice", in.Err)
		if in.N != size {
			r.Fatalf("%s; want all %d bytes that were there", show(&in), size)
		}
		r.want(r.submit(sendLent(to, &in)), size, nil)
		r.release(in.Lease)
		r.wantBytes("what was sent on", r.pull(sink, size), pattern(n, size))
		n += size
	}
	r.shutWrite(source)
	r.relay(to, from, 0, func() {})
	r.wantEOF(sink)
}

// spliceRelaySlowly has more than any pipe holds, and a reader that is always behind.
func spliceRelaySlowly(r *rig) {
	from, source := r.pair()
	to, sink := r.narrowPair()
	const n = 6 << 20
	data := pattern(0, n)
	out := r.submit(backend.Op{Kind: backend.Send, FD: source, Buf: data})
	var got []byte
	buf := make([]byte, 1<<16)
	shut := false
	take := func() {
		k, _ := r.drain(sink, buf)
		got = append(got, buf[:k]...)
		if !shut && r.records[out].final {
			r.shutWrite(source)
			shut = true
		}
	}
	r.relay(to, from, n, take)
	for len(got) < n {
		take()
		r.breathe("the rest")
	}
	r.want(out, n, nil)
	r.wantBytes("what was sent on", got, data)
	r.wantEOF(sink)
}

// spliceEndAfterData has data and the end behind it there before the first splice (law 7).
func spliceEndAfterData(r *rig) {
	a, b := r.pair()
	r.put(b, pattern(0, 300))
	r.arrived(a, 300)
	r.shut(b)
	c := r.want(r.submit(backend.Op{Kind: backend.Splice, FD: a}), 300, nil)
	r.wantBytes("what came", r.lent(&c), pattern(0, 300))
	r.release(c.Lease)
	for range 2 {
		r.want(r.submit(backend.Op{Kind: backend.Splice, FD: a}), 0, io.EOF)
	}
}

// spliceInLine has receives of all kinds take turns on one connection (law 3).
func spliceInLine(r *rig) {
	a, b := r.pair()
	const rounds = 20
	buf := make([]byte, 10)
	for i := range rounds {
		first := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: buf})
		second := r.submit(backend.Op{Kind: backend.Splice, FD: a})
		third := r.submit(backend.Op{Kind: backend.Recv, FD: a})
		if i%2 == 0 {
			r.poll(0)
		}
		r.put(b, pattern(i, 10))
		r.want(first, 10, nil)
		r.wantBytes("what came first", buf, pattern(i, 10))
		r.wantPending(second)
		r.put(b, pattern(i+10, 20))
		c := r.want(second, 20, nil)
		r.wantBytes("what came second", r.lent(&c), pattern(i+10, 20))
		r.release(c.Lease)
		r.put(b, pattern(i+30, 30))
		c = r.want(third, 30, nil)
		r.wantBytes("what came third", c.Data, pattern(i+30, 30))
		r.release(c.Lease)
	}
}

// spliced gives what is lent in a pipe, after n bytes have come. Where the backend lends memory there is nothing more to
// see.
func (r *rig) spliced(to, from, n int) (backend.Completion, bool) {
	r.Helper()
	r.put(to, pattern(0, n))
	r.arrived(from, n)
	c := r.want(r.submit(backend.Op{Kind: backend.Splice, FD: from}), n, nil)
	if c.Data != nil {
		r.wantBytes("what was lent", c.Data, pattern(0, n))
		r.release(c.Lease)
		if r.b.Caps().Pipes {
			r.Errorf("Caps has Pipes, and memory was lent: %s", show(&c))
		}
		return c, false
	}
	if !r.b.Caps().Pipes {
		r.Errorf("Caps has no Pipes, and one was lent: %s", show(&c))
	}
	return c, true
}

func spliceFetch(r *rig) {
	a, b := r.pair()
	c, ok := r.spliced(b, a, 1000)
	if !ok {
		return
	}
	var got []byte
	for _, n := range []int{1, 0, 99, 400, 5000} {
		p := make([]byte, n)
		got = append(got, p[:r.b.Fetch(c.Lease, p)]...)
	}
	r.wantBytes("what was fetched", got, pattern(0, 1000))
	r.want(r.submit(sendLent(a, &c)), 0, nil) // nothing is left
	r.release(c.Lease)
}

// spliceReleasedUnsent gives pipes back that are not empty. What is lent next must not begin with that.
func spliceReleasedUnsent(r *rig) {
	a, b := r.pair()
	for i := range 100 {
		c, ok := r.spliced(b, a, 100+i)
		if ok && i%2 == 0 {
			p := make([]byte, 50)
			r.b.Fetch(c.Lease, p)
			r.wantBytes("what was fetched", p, pattern(0, 50))
		}
		if ok {
			r.release(c.Lease)
		}
	}
}

// spliceManyLent keeps more on loan than there can be pipes. The rest is lent in memory, and where there is none left
// it waits.
func spliceManyLent(r *rig) {
	a, b := r.pair()
	const most = 300
	var kept []backend.Completion
	sent, got := 0, 0
	take := func(c backend.Completion) {
		r.ok("splice", c.Err)
		r.wantBytes("what was lent", r.lent(&c), pattern(got, c.N))
		got += c.N
		r.release(c.Lease)
	}
	for range most {
		r.put(b, pattern(sent, 100))
		sent += 100
		r.arrived(a, 100)
		t := r.submit(backend.Op{Kind: backend.Splice, FD: a})
		if !r.comes(t) { // all buffers are lent
			for _, c := range kept {
				take(c)
			}
			kept = nil
		}
		kept = append(kept, r.finish(t))
	}
	for _, c := range kept {
		take(c)
	}
	for got < sent {
		take(r.run(backend.Op{Kind: backend.Splice, FD: a}))
	}
}

// spliceHalfSent sends what is lent until the peer takes no more, cancels there, and looks where each byte is.
func spliceHalfSent(r *rig) {
	from, source := r.pair()
	to, sink := r.narrowPair()
	const n = 4 << 20
	data := pattern(0, n)
	in := r.submit(backend.Op{Kind: backend.Send, FD: source, Buf: data})
	read := 0
	for {
		c := r.run(backend.Op{Kind: backend.Splice, FD: from})
		r.ok("splice", c.Err)
		if c.Data != nil {
			r.release(c.Lease)
			r.cancel(in)
			r.finish(in)
			return
		}
		out := r.submit(sendLent(to, &c))
		if !r.comes(out) {
			r.cancel(out)
		}
		sent := r.finish(out)
		if sent.Err == nil {
			r.release(c.Lease)
			read += c.N
			continue
		}
		if sent.Err != backend.ErrCanceled || sent.N >= c.N {
			r.Fatalf("send has %s of %s", show(&sent), show(&c))
		}
		rest := make([]byte, c.N)
		rest = rest[:r.b.Fetch(c.Lease, rest)]
		if sent.N+len(rest) != c.N {
			r.Fatalf("%d bytes were sent and %d are left, of %d", sent.N, len(rest), c.N)
		}
		r.wantBytes("what is left", rest, data[read+sent.N:][:len(rest)])
		r.release(c.Lease)
		r.wantBytes("what was sent", r.pull(sink, read+sent.N), data[:read+sent.N])
		r.cancel(in)
		r.finish(in)
		return
	}
}

func splicePeerGone(r *rig) {
	from, source := r.pair()
	to, sink := r.pair()
	r.shut(sink)
	r.ok("wait for the end", waitFor(to, unix.POLLIN))
	for i := range 10 {
		c, ok := r.spliced(source, from, 100)
		if !ok {
			return
		}
		sent := r.run(sendLent(to, &c))
		rest := make([]byte, 200)
		rest = rest[:r.b.Fetch(c.Lease, rest)]
		r.release(c.Lease)
		switch {
		case sent.Err == unix.EPIPE || sent.Err == unix.ECONNRESET:
			r.wantBytes("what is left", rest, pattern(sent.N, 100-sent.N))
			return
		case sent.Err != nil || i == 9 || r.net == unixNet:
			r.Fatalf("send has %s; want EPIPE or ECONNRESET", show(&sent))
		}
		r.breathe("the peer's answer") // TCP finds out when it comes
	}
}

// spliceNoPipe goes without the wrapper, which would report the caller.
func spliceNoPipe(r *rig) {
	a, b := r.pair()
	r.put(b, []byte("x"))
	c := r.run(backend.Op{Kind: backend.Recv, FD: a})
	for _, l := range []backend.Lease{c.Lease, 1<<31 | 99, 99} {
		r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Lease: l}), 0, backend.ErrNoPipe)
		if n := r.b.Fetch(l, make([]byte, 10)); n != 0 {
			r.Errorf("Fetch of lease %#x, which lends no pipe, moved %d bytes", l, n)
		}
	}
	r.release(c.Lease)
}

// spliceCloseBackend has pipes on loan, full and empty, when the backend ends.
func spliceCloseBackend(r *rig) {
	a, b := r.pair()
	var leases []backend.Lease
	for range 5 {
		if c, ok := r.spliced(b, a, 100); ok {
			leases = append(leases, c.Lease)
		}
	}
	r.submit(backend.Op{Kind: backend.Splice, FD: a})
	r.poll(0)
	if len(leases) > 1 {
		r.b.Fetch(leases[0], make([]byte, 100))
		r.release(leases[0], leases[1])
	}
	r.shutBackend()
}

// spliceUrgent has an urgent byte in the way, where splice(2) stops for good. As with any receive that byte is left out,
// and the rest comes before the end (law 7).
func spliceUrgent(r *rig) {
	for _, waiting := range []bool{true, false} {
		for _, ended := range []bool{true, false} {
			a, b := r.pair()
			op := backend.Op{Kind: backend.Splice, FD: a}
			var first backend.Token
			if waiting {
				first = r.submit(op)
				r.poll(0)
			}
			r.put(b, pattern(0, 10))
			r.ok("send", unix.Sendto(b, []byte("!"), unix.MSG_OOB, nil))
			r.put(b, pattern(10, 20))
			if ended {
				r.shutWrite(b)
			}
			r.arrived(a, 10)
			if !waiting {
				first = r.submit(op)
			}
			var got []byte
			for t := first; ; t = r.submit(op) {
				c := r.finish(t)
				r.ok("splice", c.Err)
				got = append(got, r.lent(&c)...)
				r.release(c.Lease)
				if len(got) >= 30 {
					break
				}
			}
			r.wantBytes("what came", got, pattern(0, 30))
			if ended {
				r.want(r.submit(op), 0, io.EOF)
			}
		}
	}
}
