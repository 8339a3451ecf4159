//go:build linux

package uring

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
)

// kernel does to a pool what the kernel does: it takes given buffers in their order, whole or bit by bit. Its completions
// may be read late.
type kernel struct {
	l     *pool
	ring  []uint16 // given and not used up, oldest first
	at    int      // in the first one
	tail  uint16
	queue []completion // unread
	quiet bool         // it has gone on to its next buffer, and no completion names that yet
	lent  map[backend.Lease][]byte
	order []backend.Lease
}

// completion says that n bytes were received into the buffer bid, from a place on.
type completion struct {
	bid  uint16
	n    int
	from int // in the pool's memory
}

func newKernel(size, count, target int, incremental bool) *kernel {
	l := &pool{size: size, count: count, incremental: incremental, target: target, most: count}
	l.mem = make([]byte, size*count)
	l.bufs = make([]buffer, count)
	for i := range count {
		l.free = append(l.free, uint16(i))
	}
	l.order = make([]uint16, count)
	return &kernel{l: l, lent: map[backend.Lease][]byte{}}
}

// supply is proactor.supply without a ring.
func (k *kernel) supply() {
	k.l.adjust()
	for k.l.given < k.l.target && len(k.l.free) > 0 {
		bid := k.l.give()
		k.l.put(bid, k.tail)
		k.tail++
		k.ring = append(k.ring, bid)
	}
}

// receive has up to n bytes come, or an end or error, for which n is 0 or less: that takes nothing and names the buffer
// nevertheless. It reports whether there was one.
func (k *kernel) receive(n int) bool {
	if len(k.ring) == 0 {
		return false
	}
	bid := k.ring[0]
	n = min(n, k.l.size-k.at)
	k.queue = append(k.queue, completion{bid, n, int(bid)*k.l.size + k.at})
	k.quiet = k.quiet && n <= 0
	k.at += max(n, 0)
	if !k.l.incremental || k.at == k.l.size {
		k.giveUp()
	}
	return true
}

// giveUp has the kernel go on to its next buffer.
func (k *kernel) giveUp() {
	if len(k.ring) > 0 {
		k.ring, k.at = k.ring[1:], 0
	}
}

// read has the pool read the oldest completion.
func (k *kernel) read(t *testing.T) {
	t.Helper()
	if len(k.queue) == 0 {
		return
	}
	c := k.queue[0]
	k.queue = k.queue[1:]
	data, lease, err := k.l.take(uint32(c.bid)<<ring.CQEBufferShift|ring.CQEBuffer, c.n)
	if err != nil {
		t.Fatalf("take: %v", err)
	}
	if c.n <= 0 {
		if lease != 0 || data != nil {
			t.Fatalf("lent %d bytes of nothing under %d", len(data), lease)
		}
		return
	}
	if len(data) != c.n || cap(data) != c.n || &data[0] != &k.l.mem[c.from] {
		t.Fatalf("lent %d bytes (cap %d), want the %d that were received", len(data), cap(data), c.n)
	}
	if _, ok := k.lent[lease]; ok || lease == 0 {
		t.Fatalf("lease %d is lent already", lease)
	}
	for i := range data {
		if data[i] != 0 {
			t.Fatalf("received into what is lent")
		}
		data[i] = 1
	}
	k.lent[lease] = data
	k.order = append(k.order, lease)
}

// take receives n bytes and reads that at once.
func (k *kernel) take(t *testing.T, n int) bool {
	t.Helper()
	ok := k.receive(n)
	k.read(t)
	return ok
}

func (k *kernel) release(i int) {
	lease := k.order[i]
	k.order = slices.Delete(k.order, i, i+1)
	clear(k.lent[lease])
	delete(k.lent, lease)
	k.l.release(lease)
}

// told reports whether the pool knows of all that the kernel has done.
func (k *kernel) told() bool { return len(k.queue) == 0 && !k.quiet }

// check looks whether every buffer is in one place.
func (k *kernel) check(t *testing.T) {
	t.Helper()
	l := k.l
	given, lent := 0, 0
	for bid := range l.bufs {
		b := &l.bufs[bid]
		if b.given {
			given++
		} else if b.lent > 0 {
			lent++
		}
		free := slices.Contains(l.free, uint16(bid))
		if free == (b.given || b.lent > 0) {
			t.Fatalf("buffer %d is given %v, lent %d times and free %v", bid, b.given, b.lent, free)
		}
		if has := slices.Contains(k.ring, uint16(bid)); has && !b.given || b.given && !has && k.told() {
			t.Fatalf("buffer %d is given %v, and the kernel does not agree", bid, b.given)
		}
	}
	if given != l.given || given+lent+len(l.free) != l.count {
		t.Fatalf("%d given (%d counted), %d lent, %d free of %d", given, l.given, lent, len(l.free), l.count)
	}
}

// play drives a pool by a script of bytes.
func play(t *testing.T, script []byte) {
	if len(script) < 4 {
		return
	}
	size, count := 1<<(script[0]%6), 1<<(script[1]%4)
	target := min(1<<(script[2]%3), count)
	k := newKernel(size, count, target, script[3]&1 != 0)
	late := script[3]&2 != 0
	k.supply()
	for _, b := range script[4:] {
		switch n := int(b >> 3); b & 7 {
		case 0, 1, 2:
			if !k.receive(n) {
				k.l.grow()
			}
			if !late {
				k.read(t)
			}
		case 3:
			k.receive(-n)
		case 4:
			for range n % 4 {
				k.read(t)
			}
		case 5:
			if len(k.order) > 0 {
				k.release(n % len(k.order))
			}
		case 6:
			k.supply()
		case 7:
			if k.l.incremental && k.at > 0 && len(k.ring) > 1 { // before the buffer is full
				k.giveUp()
				k.quiet = true
			}
		}
		k.check(t)
	}
	for len(k.queue) > 0 {
		k.read(t)
		k.check(t)
	}
	for len(k.order) > 0 {
		k.release(len(k.order) / 2)
	}
	k.check(t)
	if k.l.given+len(k.l.free) != count {
		t.Errorf("%d of %d buffers are gone", count-k.l.given-len(k.l.free), count)
	}
}

func TestPool(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		script := make([]byte, rng.IntN(300))
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		play(t, script)
	}
}

func FuzzPool(f *testing.F) {
	f.Add([]byte{3, 2, 1, 1, 40, 40, 5, 6, 40})
	f.Add([]byte{3, 2, 1, 3, 3, 40, 40, 40, 4 + 3<<3, 5, 6, 40})
	f.Add([]byte{3, 2, 1, 1, 40, 7, 40, 5, 6, 40})
	f.Add([]byte{3, 2, 1, 0, 3, 40, 5, 6, 40})
	f.Fuzz(play)
}

// The end of a stream names the buffer that it does not need. It may be read when the kernel has filled that buffer with
// other connections' data, has been given it again, and has used that up, too.
func TestPoolReadsLate(t *testing.T) {
	k := newKernel(16, 4, 2, true)
	k.supply()
	k.receive(0)
	k.receive(10)
	k.receive(-104)
	k.receive(6)
	k.receive(16)
	k.receive(0)
	for len(k.queue) > 0 {
		k.read(t)
		k.check(t)
	}
	if k.l.given != 0 || len(k.order) != 3 {
		t.Fatalf("%d buffers given, %d leases; want 0 and 3", k.l.given, len(k.order))
	}
}

// A buffer that the kernel gives up before it is full is missed when the kernel names the next one.
func TestPoolGivenUp(t *testing.T) {
	k := newKernel(16, 4, 2, true)
	k.supply()
	k.take(t, 10)
	k.giveUp()
	k.take(t, 10)
	if k.l.given != 1 {
		t.Errorf("%d buffers given, want 1", k.l.given)
	}
	k.check(t)
	k.release(0)
	if len(k.l.free) != 3 {
		t.Errorf("%d buffers free, want 3", len(k.l.free))
	}
}

// What is freed last is used first: the others stay cold, and unused memory takes no space.
func TestPoolKeepsWarm(t *testing.T) {
	k := newKernel(16, 64, 2, true)
	touched := map[uint16]bool{}
	for range 1000 {
		k.supply()
		touched[k.ring[0]] = true
		k.take(t, 7)
		k.release(0)
	}
	if len(touched) > 3 {
		t.Errorf("%d buffers were used, where 3 do", len(touched))
	}
}

// A kernel whose set of buffers was too small for one call gets more, up to all.
func TestPoolGrows(t *testing.T) {
	k := newKernel(16, 16, 2, false)
	for _, want := range []int{2, 4, 8, 16, 16} {
		k.supply()
		if k.l.given != want {
			t.Fatalf("%d given, want %d", k.l.given, want)
		}
		for k.take(t, 1) {
		}
		for len(k.order) > 0 {
			k.release(0)
		}
		k.l.grow()
	}
	// Not where all are lent: more would not help.
	k.l.target = 4
	for k.supply(); k.take(t, 1); k.supply() {
	}
	if k.l.grow(); k.l.hungry {
		t.Errorf("the target grew to %d without a free buffer", k.l.target)
	}
}

func TestPoolRefuses(t *testing.T) {
	k := newKernel(16, 4, 2, true)
	k.supply()
	mine := k.ring[0]
	other := k.l.free[0]
	for what, c := range map[string]struct {
		bid uint16
		n   int
	}{
		"a buffer that there is not":    {4, 1},
		"a buffer that was not given":   {other, 1},
		"more bytes than a buffer has":  {mine, 17},
		"an id at the end of its range": {1<<16 - 1, 1},
	} {
		if _, _, err := k.l.take(uint32(c.bid)<<ring.CQEBufferShift|ring.CQEBuffer, c.n); !errors.Is(err, errBuffer) {
			t.Errorf("%s: %v", what, err)
		}
	}
	k.check(t)
	k.take(t, 3)
	lease := k.order[0]
	k.release(0)
	for _, l := range []backend.Lease{lease, 77} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("lease %d, which is not on loan, could be released", l)
				}
			}()
			k.l.release(l)
		}()
	}
	k.check(t)
}
