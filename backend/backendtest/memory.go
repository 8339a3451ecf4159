//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// memoryTests are about what the kernel is shown of the process's memory, and what a backend allocates and holds.
var memoryTests = []test{
	{name: "collected_in_flight", body: collectedInFlight},
	{name: "kept_while_in_flight", body: keptWhileInFlight},
	{name: "let_go_when_done", body: letGo},
	{name: "stack_moves", body: stackMoves},
	{name: "nothing_allocated", body: nothingAllocated},
	{name: "nothing_allocated_bare", body: nothingAllocated, options: options{raw: true}},
	{name: "nothing_allocated_sending_on", body: nothingAllocatedSendingOn, options: options{raw: true}},
	{name: "nothing_allocated_connecting", body: nothingAllocatedConnecting, options: options{raw: true}},
}

// litter has the collector take whatever nobody holds, and overwrites it. The race detector would make it slow.
//
//go:norace
func litter() {
	for range 2 {
		runtime.GC()
		var keep [][]byte
		for size := 16; size <= 1<<16; size *= 2 {
			for range 20 {
				p := make([]byte, size)
				for i := range p {
					p[i] = 0xa5
				}
				keep = append(keep, p)
			}
		}
		runtime.KeepAlive(keep)
	}
}

// forget makes the backend the only one to know of an operation's memory.
func (r *rig) forget(t backend.Token) {
	op := &r.records[t].op
	op.Buf, op.Bufs, op.Addr = nil, nil, nil
}

// collectedInFlight has all memory of operations known to the backend alone while the collector runs.
func collectedInFlight(r *rig) {
	a, b := r.narrowPair()
	const n = 2 << 20
	out := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(0, n)})
	r.forget(out)
	gather := r.submit(backend.Op{Kind: backend.Send, FD: a, Bufs: pieces(pattern(n, n), 1000, 0, 100_000)})
	r.forget(gather)
	r.wantPending(out)
	litter()
	r.wantBytes("the first half of what was sent", r.pull(b, n), pattern(0, n))
	litter()
	r.wantBytes("the second half of what was sent", r.pull(b, n), pattern(n, n))
	r.want(out, n, nil)
	r.want(gather, n, nil)

	r.net = tcp4
	ln, addr := r.listen(1)
	fd := r.socket()
	t := r.submit(backend.Op{Kind: backend.Connect, FD: fd, Addr: append([]byte(nil), addr.raw...)})
	r.forget(t)
	litter()
	r.want(t, 0, nil)
	c := r.run(backend.Op{Kind: backend.Accept, FD: ln})
	r.ok("accept", c.Err)
	t = r.submit(backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
	for i := range 20 {
		r.put(c.N, pattern(i, 1000))
		litter()
		r.wantBytes("what came", r.stream(t, 1000), pattern(i, 1000))
	}
}

// watched gives a buffer that says when it was collected.
func watched(n int) ([]byte, *atomic.Bool) {
	gone := new(atomic.Bool)
	p := make([]byte, n)
	runtime.AddCleanup(&p[0], func(gone *atomic.Bool) { gone.Store(true) }, gone)
	return p, gone
}

// keptWhileInFlight finds out whether the backend holds on to what the kernel will write to.
func keptWhileInFlight(r *rig) {
	a, b := r.pair()
	in, out := r.pipe()
	// A buffer under an operation at the head of its line, and behind another.
	for _, fd := range []int{a, in} {
		peer := map[int]int{a: b, in: out}[fd]
		kind := map[int]backend.Kind{a: backend.Recv, in: backend.Read}[fd]
		var toks [2]backend.Token
		var gone [2]*atomic.Bool
		for i := range toks {
			var buf []byte
			buf, gone[i] = watched(100)
			toks[i] = r.submit(backend.Op{Kind: kind, FD: fd, Buf: buf})
			r.forget(toks[i])
		}
		for _, poll := range []bool{false, true} {
			if poll {
				r.poll(0)
			}
			for range 3 {
				litter()
				time.Sleep(time.Millisecond) // cleanups run on a goroutine of their own
			}
			if gone[0].Load() || gone[1].Load() {
				r.Fatalf("the buffer of a %v in flight was collected", kind)
			}
		}
		for _, t := range toks {
			r.put(peer, pattern(0, 100))
			r.want(t, 100, nil)
		}
	}
}

// letGo finds out whether the backend still holds on to a buffer long after its operation.
func letGo(r *rig) {
	a, b := r.pair()
	buf, gone := watched(100)
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: buf})
	r.forget(t)
	buf = nil
	r.put(b, []byte("x"))
	r.want(t, 1, nil)
	for range 100 { // others have the slot, and whatever else there is, by now
		r.put(b, []byte("x"))
		r.stream(r.submit(backend.Op{Kind: backend.Recv, FD: a}), 1)
	}
	for range 50 {
		runtime.GC()
		time.Sleep(time.Millisecond)
		if gone.Load() {
			return
		}
	}
	r.Errorf("a receive's buffer is held long after its final completion")
}

// deep makes the stack of this goroutine grow, and so move, and then shrink.
//
//go:noinline
func deep(n int, p *[64]byte) byte {
	var here [64]byte
	here[n%64] = byte(n)
	if n == 0 {
		return p[0]
	}
	return deep(n-1, &here) + here[0]
}

// stackMoves runs on a fresh goroutine, whose stack is small and moves as it grows; Submit and Poll run at different
// depths of it.
func stackMoves(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	for i := range 30 {
		var first [64]byte
		in := r.submit(backend.Op{Kind: backend.Recv, FD: b, Buf: make([]byte, 100)})
		out := r.submit(backend.Op{Kind: backend.Send, FD: b, Bufs: [][]byte{pattern(0, 10), pattern(10, 10)}})
		back := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(0, 20)})
		deep(1000*(i+1), &first)
		if i%3 == 0 {
			runtime.GC() // which shrinks the stack again
		}
		r.poll(0)
		deep(500*(i+1), &first)
		r.want(out, 20, nil)
		r.want(back, 20, nil)
		r.want(in, 20, nil)
		r.wantBytes("what came", r.stream(t, 20), pattern(0, 20))
	}
}

// pingPong is traffic that must not allocate: a multishot receive and sends on each of several connections, the other
// ends of which the test serves itself.
type pingPong struct {
	b     backend.Backend
	dst   []backend.Completion
	conns []pingConn
	op    backend.Op // what Submit is shown; one on the stack would escape to the heap each time
	sink  sink
	buf   [64]byte
	err   error
	bad   backend.Completion
}

type pingConn struct {
	a, b int
	in   backend.Token
	out  backend.Token
	msg  [32]byte
	got  int
}

func (p *pingPong) start(r *rig, conns int) {
	p.b, p.dst = r.b, r.dst
	p.conns = make([]pingConn, conns)
	for i := range p.conns {
		c := &p.conns[i]
		c.a, c.b = r.pair()
		p.op = backend.Op{Kind: backend.Recv, FD: c.a, Multishot: true, Sink: &p.sink}
		c.in = p.b.Submit(&p.op)
	}
}

// round has each connection send a message and get it back. It must not allocate itself: no closures, no errors made.
func (p *pingPong) round() bool {
	for i := range p.conns {
		c := &p.conns[i]
		if _, p.err = unix.Write(c.b, p.buf[:32]); p.err != nil {
			return false
		}
		c.got = 0
	}
	for left := 2 * len(p.conns); left > 0; {
		n, err := p.b.Poll(p.dst, p.b.Now()+limit)
		if p.err = err; n == 0 || err != nil {
			return false
		}
		for i := range p.dst[:n] {
			got := &p.dst[i]
			c := p.find(got.Token)
			if c == nil || got.Err != nil {
				p.bad = *got
				return false
			}
			if got.Token == c.out {
				left--
				continue
			}
			copy(c.msg[c.got:], got.Data)
			c.got += got.N
			p.b.Release(got.Lease)
			if c.got == len(c.msg) {
				p.op = backend.Op{Kind: backend.Send, FD: c.a, Buf: c.msg[:], Sink: &p.sink}
				c.out = p.b.Submit(&p.op)
				left--
			}
		}
	}
	for i := range p.conns {
		if n, err := unix.Read(p.conns[i].b, p.buf[32:]); n != 32 {
			p.err = err
			return false
		}
	}
	return true
}

func (p *pingPong) find(t backend.Token) *pingConn {
	for i := range p.conns {
		if c := &p.conns[i]; c.in == t || c.out == t {
			return c
		}
	}
	return nil
}

// allocations counts what f allocates, in the best of some tries: the runtime may allocate beside it.
func allocations(f func()) uint64 {
	least := ^uint64(0)
	for range 10 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if least = min(least, after.Mallocs-before.Mallocs); least == 0 {
			break
		}
	}
	return least
}

func nothingAllocated(r *rig) {
	p := &pingPong{sink: sink{t: r.TB}}
	p.start(r, 20)
	ok := true
	rounds := func() {
		for i := 0; i < 100 && ok; i++ {
			ok = p.round()
		}
	}
	for range 3 {
		rounds()
	}
	n := allocations(rounds)
	if !ok {
		r.Fatalf("the traffic failed: %v, %s", p.err, show(&p.bad))
	}
	// The race detector allocates on its own account.
	if n != 0 && !testenv.Race {
		r.Errorf("100 rounds of %d messages allocate %d times; want 0", len(p.conns), n)
	}
	for i := range p.conns {
		if !r.opts.raw {
			c := &p.conns[i]
			r.records[c.in] = &record{op: backend.Op{Kind: backend.Recv, FD: c.a}}
		}
	}
}

// nothingAllocatedSendingOn sends on what comes, and parts of a file.
func nothingAllocatedSendingOn(r *rig) {
	from, source := r.pair()
	to, reader := r.pair()
	part := backend.File{FD: r.file(pattern(0, 1000)), Offset: 100, Size: 200}
	data, buf := pattern(0, 100), make([]byte, 300)
	s := &stepper{rig: r, sink: sink{t: r.TB}}
	s.allocated(100, 0, func() bool {
		if n, _ := unix.Write(source, data); n != len(data) || !s.step(backend.Op{Kind: backend.Splice, FD: from}) {
			return false
		}
		lease := s.got.Lease
		if !s.step(sendLent(to, &s.got)) || !s.step(backend.Op{Kind: backend.SendFile, FD: to, File: &part}) {
			return false
		}
		r.b.Release(lease)
		n, _ := unix.Read(reader, buf)
		return n == len(buf)
	})
}

// nothingAllocatedConnecting is the life of a connection: connect, accept, receive into a buffer, cancel, poll, close.
func nothingAllocatedConnecting(r *rig) {
	r.net = tcp4
	ln, addr := r.listen(10)
	var buf [10]byte
	s := &stepper{rig: r, sink: sink{t: r.TB}}
	s.allocated(50, acceptAllocates, func() bool {
		fd, err := newSocket(unix.AF_INET, unix.SOCK_STREAM)
		if err != nil {
			return false
		}
		if !s.step(backend.Op{Kind: backend.Connect, FD: fd, Addr: addr.raw}) || !s.step(backend.Op{Kind: backend.Accept, FD: ln}) {
			return false
		}
		peer := s.got.N
		if !s.step(backend.Op{Kind: backend.Send, FD: peer, Buf: buf[:]}) ||
			!s.step(backend.Op{Kind: backend.Recv, FD: fd, Buf: buf[:]}) ||
			!s.step(backend.Op{Kind: backend.Poll, FD: fd, Events: unix.POLLOUT}) {
			return false
		}
		t := s.submit(backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
		r.b.Poll(r.dst, 0)
		r.b.Cancel(t)
		if n, _ := r.b.Poll(r.dst, r.b.Now()+limit); n != 1 || r.dst[0].Err != backend.ErrCanceled {
			return false
		}
		return s.step(backend.Op{Kind: backend.Close, FD: fd}) && s.step(backend.Op{Kind: backend.Close, FD: peer})
	})
}

// stepper does one operation after the other and allocates nothing for that.
type stepper struct {
	*rig
	sink sink
	op   backend.Op
	got  backend.Completion // of the last one
}

func (s *stepper) submit(op backend.Op) backend.Token {
	s.op = op
	s.op.Sink = &s.sink
	return s.b.Submit(&s.op)
}

// step waits for the only completion of op, and tells whether it is without an error.
func (s *stepper) step(op backend.Op) bool {
	t := s.submit(op)
	n, err := s.b.Poll(s.dst, s.b.Now()+limit)
	switch {
	case err != nil:
		s.got = backend.Completion{N: n, Err: err}
	case n != 1 || s.dst[0].Token != t:
		s.got = backend.Completion{N: n, Err: errUnwritten}
	default:
		s.got = s.dst[0]
	}
	return s.got.Err == nil
}

// allocated does n rounds, each of which may allocate that many times once they have been gone through before.
func (s *stepper) allocated(n, most int, round func() bool) {
	s.Helper()
	ok := true
	rounds := func() {
		for i := 0; i < n && ok; i++ {
			ok = round()
		}
	}
	for range 3 {
		rounds()
	}
	allocated := allocations(rounds)
	if !ok {
		s.Fatalf("the traffic failed: %s", show(&s.got))
	}
	// The race detector allocates on its own account.
	if allocated > uint64(n*most) && !testenv.Race {
		s.Errorf("%d rounds allocate %d times; want %d at most", n, allocated, n*most)
	}
}
