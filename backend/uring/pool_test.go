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

// kernel does to a pool what the kernel does: it takes given buffers in their order, whole or bit by bit.
type kernel struct {
	l     *pool
	ring  []uint16 // given and not used up, oldest first
	head  uint16   // places that are used up
	at    int      // in the first one
	tail  uint16
	lies  bool // leaves out BUF_MORE, as some kernels do
	lent  map[backend.Lease][]byte
	order []backend.Lease
}

func newKernel(size, count, target int, incremental bool) *kernel {
	l := &pool{size: size, count: count, incremental: incremental, target: target, most: count}
	l.mem = make([]byte, size*count)
	l.bufs = make([]buffer, count)
	for i := range count {
		l.free = append(l.free, uint16(i))
	}
	k := &kernel{l: l, lent: map[backend.Lease][]byte{}}
	l.head = func() (uint16, error) { return k.head, nil }
	return k
}

// supply is proactor.supply without a ring.
func (k *kernel) supply() {
	k.l.adjust()
	for k.l.given < k.l.target && len(k.l.free) > 0 {
		bid := k.l.give()
		k.l.bufs[bid].place = k.tail
		k.tail++
		k.ring = append(k.ring, bid)
	}
}

// receive has up to n bytes come; n of 0 is the end of a stream, which takes nothing but names the buffer. It tells
// whether there was one.
func (k *kernel) receive(t *testing.T, n int) bool {
	t.Helper()
	if len(k.ring) == 0 {
		return false
	}
	bid := k.ring[0]
	n = min(n, k.l.size-k.at)
	from := int(bid)*k.l.size + k.at
	flags := uint32(bid)<<ring.CQEBufferShift | ring.CQEBuffer
	k.at += n
	if k.l.incremental && k.at < k.l.size {
		if !k.lies {
			flags |= ring.CQEBufMore
		}
	} else {
		k.ring, k.at = k.ring[1:], 0
		k.head++
	}
	data, lease, err := k.l.take(flags, n)
	if err != nil {
		t.Fatalf("take: %v", err)
	}
	if n == 0 {
		if lease != 0 || data != nil {
			t.Fatalf("lent %d bytes of nothing under %d", len(data), lease)
		}
		return true
	}
	if len(data) != n || cap(data) != n || &data[0] != &k.l.mem[from] {
		t.Fatalf("lent %d bytes (cap %d), want the %d that were received", len(data), cap(data), n)
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
	return true
}

func (k *kernel) release(i int) {
	lease := k.order[i]
	k.order = slices.Delete(k.order, i, i+1)
	clear(k.lent[lease])
	delete(k.lent, lease)
	k.l.release(lease)
}

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
		if b.given != slices.Contains(k.ring, uint16(bid)) {
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
	k.lies = script[3]&2 != 0
	k.supply()
	for _, b := range script[4:] {
		switch n := int(b >> 2); b & 3 {
		case 0, 1:
			if !k.receive(t, n) {
				k.l.grow()
			}
		case 2:
			if len(k.order) > 0 {
				k.release(n % len(k.order))
			}
		case 3:
			k.supply()
		}
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
	f.Add([]byte{3, 2, 1, 1, 40, 40, 2, 3, 40})
	f.Add([]byte{3, 2, 1, 3, 0, 40, 0, 2, 3, 40})
	f.Add([]byte{3, 2, 1, 0, 0, 40, 2, 3, 40})
	f.Fuzz(play)
}

// What is freed last is used first: the others stay cold, and unused memory takes no space.
func TestPoolKeepsWarm(t *testing.T) {
	k := newKernel(16, 64, 2, true)
	touched := map[uint16]bool{}
	for range 1000 {
		k.supply()
		touched[k.ring[0]] = true
		k.receive(t, 7)
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
		for k.receive(t, 1) {
		}
		for len(k.order) > 0 {
			k.release(0)
		}
		k.l.grow()
	}
	// Not where all are lent: more would not help.
	k.l.target = 4
	for k.supply(); k.receive(t, 1); k.supply() {
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
		if _, _, err := k.l.take(uint32(c.bid)<<ring.CQEBufferShift|ring.CQEBuffer|ring.CQEBufMore, c.n); !errors.Is(err, errBuffer) {
			t.Errorf("%s: %v", what, err)
		}
	}
	k.check(t)
	k.receive(t, 3)
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
