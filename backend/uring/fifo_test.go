//go:build linux

package uring

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFifo(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var f fifo
	var want []uint64
	for i := range uint64(100_000) {
		switch n := rng.IntN(100); {
		case n == 0:
			odd := func(v uint64) bool { return v&1 == 1 }
			f.keep(odd)
			want = slices.DeleteFunc(want, func(v uint64) bool { return !odd(v) })
		case n < 55:
			f.push(i)
			want = append(want, i)
		case len(want) > 0:
			if f.first() != want[0] || f.pop() != want[0] {
				t.Fatalf("not first in, first out")
			}
			want = want[1:]
		}
		if f.empty() != (len(want) == 0) || int(f.n) != len(want) {
			t.Fatalf("%d there, want %d", f.n, len(want))
		}
	}
}
