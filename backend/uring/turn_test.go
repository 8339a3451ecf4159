//go:build linux

package uring

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// start gives a backend that belongs to the test's thread.
func start(t testing.TB, g *rung, cfg backend.Config) *proactor {
	t.Helper()
	need(t, g)
	b, err := g.open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	return b.(*proactor)
}

func sockets(t testing.TB) (ours, peer int) {
	t.Helper()
	return socketsOf(t, unix.SOCK_STREAM)
}

func socketsOf(t testing.TB, kind int) (ours, peer int) {
	t.Helper()
	s, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(s[0])
		unix.Close(s[1])
	})
	return s[0], s[1]
}

func poll(t testing.TB, p *proactor, dst []backend.Completion, until time.Duration) []backend.Completion {
	t.Helper()
	n, err := p.Poll(dst, until)
	if err != nil {
		t.Fatal(err)
	}
	return dst[:n]
}

// echo is connections on which what comes goes back.
type echo struct {
	p     *proactor
	peers []int
	fds   []int
	dst   []backend.Completion
	op    backend.Op
	lent  map[backend.Token]backend.Lease
}

func newEcho(t testing.TB, p *proactor, n int) *echo {
	e := &echo{p: p, dst: make([]backend.Completion, 4*n), lent: map[backend.Token]backend.Lease{}}
	for range n {
		fd, peer := sockets(t)
		e.fds, e.peers = append(e.fds, fd), append(e.peers, peer)
		p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true, Sink: (*number)(&e.fds[len(e.fds)-1 : len(e.fds)][0])})
	}
	poll(t, p, e.dst, 0)
	return e
}

// number is a sink that is a descriptor.
type number int

func (*number) Complete(*backend.Completion) {}

var ping = bytes.Repeat([]byte("x"), 64)

// round has every peer send, and turns until all has been sent back. It returns the number of turns.
func (e *echo) round(t testing.TB) (turns int) {
	for _, peer := range e.peers {
		unix.Write(peer, ping)
	}
	for sent := 0; sent < len(e.peers); {
		turns++
		for _, c := range poll(t, e.p, e.dst, backend.Forever) {
			if c.Err != nil {
				t.Fatal(c.Err)
			}
			if c.Data == nil {
				e.p.Release(e.lent[c.Token])
				sent++
				continue
			}
			e.op = backend.Op{Kind: backend.Send, FD: int(*c.Sink.(*number)), Buf: c.Data, Sink: c.Sink}
			e.lent[e.p.Submit(&e.op)] = c.Lease
		}
	}
	for _, peer := range e.peers {
		var p [64]byte
		unix.Read(peer, p[:])
	}
	return turns
}

// Under load a turn is one system call, which neither blocks nor tells Go's scheduler.
func TestOneCallPerTurn(t *testing.T) {
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{})
			e := newEcho(t, p, 50)
			e.round(t)
			before := p.Stats()
			turns := 0
			for range 100 {
				turns += e.round(t)
			}
			after := p.Stats()
			if polls := after.Polls - before.Polls; polls != uint64(turns) {
				t.Fatalf("%d polls in %d turns", polls, turns)
			}
			if calls := after.Syscalls - before.Syscalls; calls > uint64(turns) {
				t.Errorf("%d calls in %d turns", calls, turns)
			}
			if waits := after.Waits - before.Waits; waits > 0 {
				t.Errorf("%d of them could block", waits)
			}
			if done := after.Completions - before.Completions; done < 100*50*2 || after.Submitted-before.Submitted != 100*50 {
				t.Errorf("%d completions of %d operations", done, after.Submitted-before.Submitted)
			}
		})
	}
}

// A Poll that need not wait, with nothing to submit and nothing to collect, makes no call at all.
func TestNoCallForNothing(t *testing.T) {
	p := start(t, full, backend.Config{})
	fd, _ := sockets(t)
	p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
	dst := make([]backend.Completion, 8)
	poll(t, p, dst, 0)
	before := p.Stats()
	for range 100 {
		poll(t, p, dst, 0)
	}
	if calls := p.Stats().Syscalls - before.Syscalls; calls != 0 {
		t.Errorf("%d calls in 100 turns with nothing to do", calls)
	}
}

// A multishot request whose completions found no room is made again without the operation noticing.
func TestCompletionsOverflow(t *testing.T) {
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{Entries: 8, BufferSize: 16, BufferCount: 1 << 12})
			p.pool.target = 1 << 12
			const n = 40
			e := newEcho(t, p, n)
			var sent, got [n]int
			which := map[int]int{}
			for i, fd := range e.fds {
				which[fd] = i
				for range 40 { // each fills buffers: more completions than the queue has room for
					k, _ := unix.Write(e.peers[i], ping)
					sent[i] += k
				}
			}
			one := e.dst[:1]
			for left := 40 * n * len(ping); left > 0; {
				for _, c := range poll(t, p, one, p.Now()+5*time.Second) {
					if c.Err != nil || !c.More {
						t.Fatalf("%+v", c)
					}
					got[which[int(*c.Sink.(*number))]] += c.N
					left -= c.N
					p.Release(c.Lease)
				}
			}
			if got != sent {
				t.Errorf("got %d, want %d", got, sent)
			}
		})
	}
}

// The kernel tells of a peer that has shut down its half also where nobody asked.
func TestPollsOnlyForWhatWasAsked(t *testing.T) {
	p := start(t, full, backend.Config{})
	fd, peer := sockets(t)
	for { // until there is no room
		if _, err := unix.Write(fd, make([]byte, 4096)); err != nil {
			break
		}
	}
	unix.Shutdown(peer, unix.SHUT_WR)
	token := p.Submit(&backend.Op{Kind: backend.Poll, FD: fd, Events: unix.POLLOUT})
	dst := make([]backend.Completion, 8)
	if got := poll(t, p, dst, p.Now()+20*time.Millisecond); len(got) != 0 {
		t.Fatalf("%+v, want nothing yet", got)
	}
	before := p.Stats().Syscalls
	if got := poll(t, p, dst, p.Now()+20*time.Millisecond); len(got) != 0 || p.Stats().Syscalls-before > 2 {
		t.Fatalf("%+v after %d calls", got, p.Stats().Syscalls-before)
	}
	for p := make([]byte, 1<<20); ; {
		if n, err := unix.Read(peer, p); n <= 0 || err != nil {
			break
		}
	}
	got := poll(t, p, dst, p.Now()+5*time.Second)
	if len(got) != 1 || got[0].Token != token || got[0].N != unix.POLLOUT || got[0].Err != nil || got[0].More {
		t.Errorf("%+v, want POLLOUT", got)
	}
	if p.flying != 1 {
		t.Errorf("%d requests are in the kernel, besides the wake-up", p.flying-1)
	}
}

// What waits for buffers and ends in the meantime leaves nothing behind.
func TestParkedStaysSmall(t *testing.T) {
	p := start(t, full, backend.Config{BufferSize: 16, BufferCount: 1})
	fd, peer := sockets(t)
	unix.Write(peer, ping) // more than the buffer takes
	op := backend.Op{Kind: backend.Recv, FD: fd}
	p.Submit(&op)
	dst := make([]backend.Completion, 1)
	lent := poll(t, p, dst, backend.Forever)
	if len(lent) != 1 || lent[0].N != 16 {
		t.Fatalf("%+v, want a whole buffer", lent)
	}
	defer p.Release(lent[0].Lease)
	for range 10_000 {
		token := p.Submit(&op)
		poll(t, p, dst, 0)
		p.Cancel(token)
		if got := poll(t, p, dst, backend.Forever); len(got) != 1 || got[0].Err != backend.ErrCanceled {
			t.Fatalf("%+v", got)
		}
	}
	if n := len(p.parked.ring); n > 256 {
		t.Errorf("a fifo of %d for one operation", n)
	}
}

// Completions that belong to nothing leak nothing.
func TestStray(t *testing.T) {
	p := start(t, full, backend.Config{})
	fd, _ := sockets(t)
	dup, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	late := uint64(backend.MakeToken(3, 77))
	p.complete(late|tagAccept, int32(dup), 0)
	if _, err := unix.FcntlInt(uintptr(dup), unix.F_GETFD, 0); err != unix.EBADF {
		t.Error("the descriptor of a stray accept is still open")
	}
	poll(t, p, make([]backend.Completion, 1), 0)
	given := p.pool.given
	for bid := range p.pool.bufs {
		if p.pool.bufs[bid].given {
			p.complete(late, int32(p.pool.size), uint32(bid)<<ring.CQEBufferShift|ring.CQEBuffer)
		}
	}
	if p.pool.given != 0 || len(p.pool.free) != p.pool.count || given == 0 {
		t.Errorf("%d buffers given, %d free of %d after stray receives", p.pool.given, len(p.pool.free), p.pool.count)
	}
	p.complete(late, 0, 0)
	p.complete(late|tagCancel, -2, 0)
	if got := poll(t, p, make([]backend.Completion, 1), 0); len(got) != 0 || p.failure != nil {
		t.Errorf("%+v, %v", got, p.failure)
	}
	// The kernel still has the buffers that were made believe to be used up, so no more is received here.
}

// A kernel that reports what cannot be has broken the backend, and is not believed.
func TestBrokenBuffer(t *testing.T) {
	p := start(t, full, backend.Config{})
	fd, _ := sockets(t)
	token := p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
	dst := make([]backend.Completion, 8)
	poll(t, p, dst, 0)
	p.complete(uint64(token), 10, ring.CQEMore|ring.CQEBuffer|0xffff<<ring.CQEBufferShift)
	if n, err := p.Poll(dst, 0); n != 0 || err != errBuffer {
		t.Errorf("%d, %v", n, err)
	}
}

func BenchmarkTurn(b *testing.B) {
	for _, g := range []*rung{full, basic} {
		for name, n := range map[string]int{"1": 1, "100": 100} {
			b.Run(g.name+"/"+name, func(b *testing.B) {
				e := newEcho(b, start(b, g, backend.Config{}), n)
				e.round(b)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += n {
					e.round(b)
				}
			})
		}
	}
}

// What a submission and its completion cost without the work in between.
func BenchmarkPoll(b *testing.B) {
	for _, g := range []*rung{full, basic} {
		for name, n := range map[string]int{"1": 1, "64": 64} {
			b.Run(g.name+"/"+name, func(b *testing.B) {
				p := start(b, g, backend.Config{})
				var fds []int
				for range n {
					fd, _ := sockets(b)
					fds = append(fds, fd)
				}
				op := backend.Op{Kind: backend.Poll, Events: unix.POLLOUT}
				dst := make([]backend.Completion, n)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += n {
					for _, op.FD = range fds {
						p.Submit(&op)
					}
					for left := n; left > 0; {
						left -= len(poll(b, p, dst, backend.Forever))
					}
				}
			})
		}
	}
}
