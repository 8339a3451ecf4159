//go:build unix

package readiness

import (
	"testing"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
)

// take lends n bytes; it fails the test where there is no room.
func take(t *testing.T, p *pool, n int) ([]byte, backend.Lease) {
	t.Helper()
	if room := p.room(); len(room) < n {
		t.Fatalf("room for %d bytes, want %d", len(room), n)
	}
	return p.lend(n)
}

// bufferOf tells which buffer a lease is of.
func (p *pool) bufferOf(t *testing.T, l backend.Lease) uint32 {
	t.Helper()
	i, ok := p.loans.Find(uint32(l))
	if !ok {
		t.Fatalf("lease %#x is not on loan", l)
	}
	return i
}

func TestPoolPacks(t *testing.T) {
	var p pool
	p.init(4096, 2)
	a, la := take(t, &p, 100)
	b, lb := take(t, &p, 200)
	if len(a) != 100 || cap(a) != 100 || &a[:100][99] == &b[0] || la == lb {
		t.Errorf("pieces of %d (room %d) and %d, leases %#x and %#x", len(a), cap(a), len(b), la, lb)
	}
	if len(p.buffers) != 1 {
		t.Errorf("%d buffers in use, want 1", len(p.buffers))
	}
	p.release(la)
	if c, _ := take(t, &p, 1); &c[0] == &a[0] {
		t.Error("a buffer is used anew while somebody borrows from it")
	}
}

// A steady exchange uses the same bytes again and again.
func TestPoolStaysHot(t *testing.T) {
	var p pool
	p.init(4096, 4)
	first, l := take(t, &p, 100)
	p.release(l)
	for range 1000 {
		a, la := take(t, &p, 100)
		_, lb := take(t, &p, 100)
		if &a[0] != &first[0] {
			t.Fatal("it went on to other bytes")
		}
		p.release(lb)
		p.release(la)
	}
	if len(p.buffers) != 1 {
		t.Errorf("it took %d buffers", len(p.buffers))
	}
}

func TestPoolExhausted(t *testing.T) {
	var p pool
	p.init(4096, 3)
	var leases []backend.Lease
	total := 0
	for p.available() {
		room := p.room()
		n := min(len(room), 900)
		data, l := p.lend(n)
		total += len(data)
		leases = append(leases, l)
	}
	if p.room() != nil || total > 3*4096 || total < 3*3072 {
		t.Fatalf("lent %d bytes, and room for %d", total, len(p.room()))
	}
	// The one of the first buffer that is released last makes room, and there for all of a buffer.
	ofFirst := 0
	for _, l := range leases {
		if p.bufferOf(t, l) == p.bufferOf(t, leases[0]) {
			ofFirst++
		}
	}
	for i := range ofFirst {
		if p.available() {
			t.Fatal("there is room while the buffer is in use")
		}
		p.release(leases[i])
	}
	if room := p.room(); len(room) != 4096 {
		t.Errorf("room for %d bytes, want a whole buffer", len(room))
	}
}

// The buffer freed last is used first, so that those beyond a passing need stay untouched.
func TestPoolReusesLastFreed(t *testing.T) {
	var p pool
	p.init(1024, 8)
	var leases []backend.Lease
	for range 5 {
		_, l := take(t, &p, 1024)
		leases = append(leases, l)
	}
	p.release(leases[1])
	p.release(leases[3])
	fourth := p.buffers[3]
	if data, _ := take(t, &p, 1024); &data[0] != &fourth.bytes[0] {
		t.Error("it did not take the buffer freed last")
	}
}

func TestPoolSizes(t *testing.T) {
	for _, c := range []struct{ size, count, wantSize, wantCount int }{
		{0, 0, defaultBufferSize, defaultBufferCount},
		{4096, 0, 4096, defaultBufferCount},
		{0, 7, defaultBufferSize, 7},
		{1 << 30, 1 << 15, 1 << 30, 1 << 15},
		{1, 1, 1, 1},
	} {
		var p pool
		p.init(c.size, c.count)
		if p.size != c.wantSize || p.count != c.wantCount {
			t.Errorf("asked for %d × %d, it has %d × %d; want %d × %d", c.count, c.size, p.count, p.size, c.wantCount, c.wantSize)
		}
	}
	var p pool
	p.init(1, 1)
	_, l := take(t, &p, 1)
	if p.room() != nil {
		t.Error("a byte is lent twice")
	}
	p.release(l)
	take(t, &p, 1)
}

// A lease is released once: beside other pieces of its buffer or not, in the buffer that is read into or not, and also
// where its place among the leases has been used again. A second time would have the buffer used anew while the other
// pieces are lent.
func TestPoolDoubleRelease(t *testing.T) {
	for name, between := range map[string]func(p *pool){
		"alone":               func(*pool) {},
		"beside another":      func(p *pool) { take(t, p, 1) },
		"beside another, old": func(p *pool) { take(t, p, 1); take(t, p, 900); take(t, p, 1000) },
		"old":                 func(p *pool) { _, l := take(t, p, 900); take(t, p, 1000); p.release(l) },
	} {
		for _, again := range []int{0, 1, 2, 20} {
			var p pool
			p.init(1024, 8)
			data, l := take(t, &p, 100)
			between(&p)
			p.release(l)
			for range again {
				_, l := take(t, &p, 10)
				p.release(l)
			}
			kept, _ := take(t, &p, 10)
			released := func() (did bool) {
				defer func() { did = recover() == nil }()
				p.release(l)
				return true
			}()
			if released {
				t.Errorf("%s, %d others later: a lease of %d bytes was released twice", name, again, len(data))
			}
			if next, _ := take(t, &p, 10); &next[0] == &kept[0] {
				t.Errorf("%s, %d others later: two live leases are the same bytes", name, again)
			}
		}
	}
}

// Nothing comes of a release after Close, not even of a second one.
func TestPoolClosed(t *testing.T) {
	var p pool
	p.init(1024, 8)
	_, l := take(t, &p, 100)
	p.close()
	p.release(l)
	p.release(l)
}

func TestRing(t *testing.T) {
	var r ring
	fds := make([]ops.FD, 1000)
	put, got := 0, 0
	for _, step := range []int{10, -5, 60, -65, 200, -100, 500, -600, 3, -3} {
		for ; step > 0; step-- {
			r.push(&fds[put%len(fds)])
			put++
		}
		for ; step < 0; step++ {
			if r.pop() != &fds[got%len(fds)] {
				t.Fatalf("the %dth came out of turn", got)
			}
			got++
		}
		if r.len() != put-got {
			t.Fatalf("length %d, want %d", r.len(), put-got)
		}
	}
}
