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
		if l>>pieceBits == leases[0]>>pieceBits {
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
	if _, l := take(t, &p, 1024); l>>pieceBits != leases[3]>>pieceBits {
		t.Error("it did not take the buffer freed last")
	}
}

// A buffer whose pieces can no longer be told apart is done.
func TestPoolPiecesAreBounded(t *testing.T) {
	var p pool
	p.init(1<<20, 2)
	seen := map[backend.Lease]bool{}
	for range maxPieces + 10 {
		_, l := take(t, &p, 1)
		if seen[l] || l == 0 {
			t.Fatalf("lease %#x is out twice", l)
		}
		seen[l] = true
	}
	if len(p.buffers) != 2 {
		t.Errorf("%d buffers in use, want 2", len(p.buffers))
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

func TestPoolDoubleRelease(t *testing.T) {
	var p pool
	p.init(1024, 2)
	_, l := take(t, &p, 1024)
	take(t, &p, 1)
	p.release(0)
	p.release(l)
	defer func() {
		if recover() == nil {
			t.Error("a lease was released twice, and nobody minds")
		}
	}()
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
