//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"io"
	"math/rand/v2"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// few is a pool that any test exhausts.
var few = options{cfg: backend.Config{BufferSize: 1024, BufferCount: 4}}

// bufferTests are about lent buffers. Checked holds that what is lent is never lent twice, never overlaps, never
// changes, and is never more than there is.
var bufferTests = []test{
	{name: "sizes", body: bufferSizes},
	{name: "exhausted_and_resumed", body: exhausted, options: few, everyNet: true},
	{name: "exhausted_one_shot", body: exhaustedOneShot, options: few, everyNet: true},
	{name: "exhausted_by_others", body: exhaustedByOthers, options: few},
	{name: "exhausted_before_end", body: exhaustedBeforeEnd, options: few, everyNet: true},
	{name: "exhausted_then_canceled", body: exhaustedThenCanceled, options: few},
	{name: "shared_by_many", body: sharedByMany, options: few, everyNet: true},
	{name: "single_buffer", body: sharedByMany, options: options{cfg: backend.Config{BufferSize: 64, BufferCount: 1}}},
	{name: "released_out_of_order", body: releasedOutOfOrder, everyNet: true,
		options: options{cfg: backend.Config{BufferSize: 512, BufferCount: 32}}},
	{name: "kept_past_close", body: keptPastClose, options: few, everyNet: true},
	{name: "small_messages", body: smallMessages, options: few},
}

func bufferSizes(r *rig) {
	caps := r.b.Caps()
	if caps.BufferSize <= 0 || caps.BufferCount <= 0 {
		r.Errorf("Caps without Config: %d buffers of %d bytes", caps.BufferCount, caps.BufferSize)
	}
	if caps.Name == "" || caps.Batch <= 0 {
		r.Errorf("Caps has name %q and batch %d", caps.Name, caps.Batch)
	}
	for _, cfg := range []backend.Config{{BufferSize: 1 << 10, BufferCount: 1 << 4}, {BufferSize: 1 << 16, BufferCount: 1}} {
		b, err := r.open(cfg)
		r.ok("open", err)
		if caps := b.Caps(); caps.BufferSize != cfg.BufferSize || caps.BufferCount != cfg.BufferCount {
			r.Errorf("Caps says %d buffers of %d bytes; Config said %d of %d", caps.BufferCount, caps.BufferSize, cfg.BufferCount, cfg.BufferSize)
		}
		r.ok("Close of a backend never started", b.Close())
	}
}

// hold takes what t delivers, releasing nothing, until it delivers no more.
func (r *rig) hold(t backend.Token) (data []byte, leases []backend.Lease) {
	r.Helper()
	for rec := r.records[t]; r.comes(t); {
		for len(rec.queue) > 0 {
			c := r.next(t)
			if c.Err != nil {
				r.Fatalf("%s has %s", describe(&rec.op), show(&c))
			}
			data, leases = append(data, c.Data...), append(leases, c.Lease)
		}
	}
	return data, leases
}

func (r *rig) release(leases ...backend.Lease) {
	for _, l := range leases {
		r.b.Release(l)
	}
}

func exhausted(r *rig) {
	a, b := r.pair()
	const n = 30_000
	r.put(b, pattern(0, n))
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	got, leases := r.hold(t)
	if len(got) == 0 || len(leases) == 0 {
		r.Fatalf("nothing came")
	}
	r.release(leases...)
	leases = nil
	for len(got) < n {
		c := r.next(t)
		r.ok("receive", c.Err)
		got = append(got, c.Data...)
		// Keep as much as leaves one, so that the pool runs dry over and over.
		if leases = append(leases, c.Lease); len(leases) == 3 {
			r.release(leases...)
			leases = nil
		}
		if len(leases) > 0 && len(r.records[t].queue) == 0 && r.poll(0) == 0 {
			r.release(leases[len(leases)-1])
			leases = leases[:len(leases)-1]
		}
	}
	r.release(leases...)
	r.wantBytes("what came", got, pattern(0, n))
	r.release(0, 0) // zero leases are ignored
	r.wantPending(t)
	if r.b.Stats().Starved == 0 {
		r.Errorf("Stats.Starved is 0 after a receive had to wait for buffers")
	}
}

func exhaustedOneShot(r *rig) {
	a, b := r.pair()
	const n = 20_000
	r.put(b, pattern(0, n))
	var got []byte
	var leases []backend.Lease
	for len(got) < n {
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a})
		if !r.comes(t) {
			if len(leases) == 0 {
				r.Fatalf("no bytes after %d of %d, with no lease out", len(got), n)
			}
			r.release(leases...)
			leases = nil
		}
		c := r.finish(t)
		r.ok("receive", c.Err)
		got, leases = append(got, c.Data...), append(leases, c.Lease)
	}
	r.release(leases...)
	r.wantBytes("what came", got, pattern(0, n))
}

// exhaustedByOthers lets one connection hold all buffers: others wait, lending aside they go on, and then they resume.
func exhaustedByOthers(r *rig) {
	a, b := r.pair()
	r.put(b, pattern(0, 30_000))
	hog := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	_, leases := r.hold(hog)
	r.cancel(hog)
	r.want(hog, 0, backend.ErrCanceled)

	var toks []backend.Token
	for i := range 6 {
		c, d := r.pair()
		r.put(d, pattern(i, 100))
		if i%2 == 0 {
			toks = append(toks, r.submit(backend.Op{Kind: backend.Recv, FD: c, Multishot: i%4 == 0}))
			continue
		}
		buf := make([]byte, 100)
		r.want(r.submit(backend.Op{Kind: backend.Recv, FD: c, Buf: buf}), 100, nil)
		r.wantBytes("what came into a receive's own buffer", buf, pattern(i, 100))
		r.want(r.submit(backend.Op{Kind: backend.Send, FD: c, Buf: buf}), 100, nil)
	}
	for _, t := range toks {
		r.wantPending(t)
	}
	r.release(leases...)
	for i, t := range toks {
		var got []byte
		for len(got) < 100 { // one shot may bring a part only
			c := r.next(t)
			r.ok("receive", c.Err)
			got = append(got, c.Data...)
			r.release(c.Lease)
			if !c.More && len(got) < 100 {
				t = r.submit(backend.Op{Kind: backend.Recv, FD: r.records[t].op.FD})
			}
		}
		r.wantBytes("what came after the others let go", got, pattern(2*i, 100))
	}
}

// exhaustedBeforeEnd has more data than buffers, and the end behind it (law 7).
func exhaustedBeforeEnd(r *rig) {
	a, b := r.pair()
	const n = 20_000
	r.put(b, pattern(0, n))
	r.shut(b)
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	got, leases := r.hold(t)
	for len(got) < n {
		r.release(leases...)
		var more []byte
		more, leases = r.holdUntil(t, n-len(got))
		got = append(got, more...)
	}
	r.wantBytes("what came", got, pattern(0, n))
	r.release(leases...)
	r.want(t, 0, io.EOF)
}

// holdUntil takes what is there of t, at least a piece of it and at most n bytes.
func (r *rig) holdUntil(t backend.Token, n int) (data []byte, leases []backend.Lease) {
	r.Helper()
	for {
		c := r.next(t)
		if c.Err != nil {
			r.Fatalf("%s has %s, with %d bytes to come", describe(&r.records[t].op), show(&c), n-len(data))
		}
		data, leases = append(data, c.Data...), append(leases, c.Lease)
		if len(data) >= n || len(r.records[t].queue) == 0 {
			return data, leases
		}
	}
}

// exhaustedThenCanceled ends receives that wait for a buffer, in every way.
func exhaustedThenCanceled(r *rig) {
	a, b := r.pair()
	r.put(b, pattern(0, 30_000))
	hog := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	got, leases := r.hold(hog)
	c, d := r.pair()
	r.put(d, []byte("hello"))
	for _, multi := range []bool{false, true} {
		op := backend.Op{Kind: backend.Recv, FD: c, Multishot: multi}
		t := r.submit(op)
		r.wantPending(t)
		r.cancel(t)
		r.want(t, 0, backend.ErrCanceled)

		t = r.submit(op)
		r.cancel(t) // before any Poll has seen it
		r.want(t, 0, backend.ErrCanceled)
	}
	op := backend.Op{Kind: backend.Recv, FD: c, Multishot: true}
	t := r.submit(op)
	r.wantPending(t)
	buf := make([]byte, 10)
	r.cancel(t)
	r.want(t, 0, backend.ErrCanceled)
	r.want(r.submit(backend.Op{Kind: backend.Recv, FD: c, Buf: buf}), 5, nil) // no byte was lost
	t = r.submit(op)
	r.wantPending(t)
	r.closeFD(c)
	r.want(t, 0, backend.ErrClosed)

	r.release(leases...)
	got = append(got, r.stream(hog, 30_000-len(got))...)
	r.wantBytes("what came", got, pattern(0, 30_000))
}

// sharedByMany has more connections than buffers, all of them busy.
func sharedByMany(r *rig) {
	const n, size = 20, 3000
	var toks [n]backend.Token
	for i := range toks {
		a, b := r.pair()
		toks[i] = r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
		r.put(b, pattern(i, size))
	}
	var got [n][]byte
	for left := n * size; left > 0; {
		if r.poll(r.in(limit)) == 0 {
			r.Fatalf("nothing came, with %d bytes to come", left)
		}
		for i, t := range toks {
			for len(r.records[t].queue) > 0 {
				c := r.next(t)
				r.ok("receive", c.Err)
				got[i] = append(got[i], c.Data...)
				left -= c.N
				r.release(c.Lease)
			}
		}
	}
	for i := range got {
		r.wantBytes("what came", got[i], pattern(i, size))
	}
}

// releasedOutOfOrder keeps many leases, gives them back at random, and has more data come all the while.
func releasedOutOfOrder(r *rig) {
	const conns = 8
	total := 100_000
	if testenv.Race {
		total = 20_000
	}
	rng := rand.New(rand.NewPCG(1, 2))
	type conn struct {
		b, sent, got int
		t            backend.Token
	}
	var cs [conns]conn
	for i := range cs {
		a, b := r.pair()
		cs[i] = conn{b: b, t: r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})}
	}
	var leases []backend.Lease
	drop := func() {
		i := rng.IntN(len(leases))
		r.release(leases[i])
		leases[i] = leases[len(leases)-1]
		leases = leases[:len(leases)-1]
	}
	for left := conns * total; left > 0; {
		for i := range cs {
			c := &cs[i]
			if n := min(1+rng.IntN(700), total-c.sent); n > 0 && c.sent-c.got < 50_000 {
				k, err := unix.Write(c.b, pattern(c.sent, n))
				if err != nil && err != unix.EAGAIN {
					r.ok("write", err)
				}
				c.sent += max(k, 0)
			}
		}
		if r.poll(0) == 0 && len(leases) > 0 {
			drop()
		}
		for i := range cs {
			c := &cs[i]
			for len(r.records[c.t].queue) > 0 {
				got := r.next(c.t)
				r.ok("receive", got.Err)
				r.wantBytes("what came", got.Data, pattern(c.got, got.N))
				c.got += got.N
				left -= got.N
				leases = append(leases, got.Lease)
			}
		}
		for len(leases) > 24 {
			drop()
		}
		if len(leases) == 0 && left > 0 {
			r.breathe("data")
		}
	}
	for len(leases) > 0 {
		drop()
	}
}

// keptPastClose keeps leases of connections that are closed, and whose descriptors are in use again.
func keptPastClose(r *rig) {
	var kept []backend.Completion
	for i := range 4 {
		a, b := r.pair()
		r.put(b, pattern(i, 200))
		r.arrived(a, 200)
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: i%2 == 0})
		c := r.next(t)
		r.ok("receive", c.Err)
		r.closeFD(a)
		if c.More {
			r.want(t, 0, backend.ErrClosed)
		}
		r.shut(b)
		kept = append(kept, c)
	}
	for i, c := range kept {
		r.wantBytes("what was lent", c.Data, pattern(i, c.N))
		r.release(c.Lease)
	}
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	r.put(b, pattern(0, 20_000))
	r.wantBytes("what came later", r.stream(t, 20_000), pattern(0, 20_000))
}

// smallMessages keeps one byte of each buffer lent, or of each part of one.
func smallMessages(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	var got []byte
	var leases []backend.Lease
	const n = 5000
	for i := range n {
		r.put(b, pattern(i, 1))
		r.poll(0)
		if len(r.records[t].queue) == 0 {
			r.release(leases...)
			leases = nil
		}
		data, more := r.holdUntil(t, 1)
		got, leases = append(got, data...), append(leases, more...)
	}
	r.release(leases...)
	r.wantBytes("what came", got, pattern(0, n))
}
