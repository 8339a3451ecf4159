package loans

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// Loans are ended in any order, each once, whatever is lent in between.
func TestTable(t *testing.T) {
	var table Table
	rng := rand.New(rand.NewPCG(1, 2))
	out := map[uint32]uint32{}
	var ended []uint32 // of late: fewer than there are generations
	for range 100_000 {
		if rng.IntN(100) < 50 {
			what := rng.Uint32()
			n := table.Lend(what)
			if _, ok := out[n]; ok || n == 0 || n >= 1<<31 {
				t.Fatalf("number %#x, which is on loan: %v", n, ok)
			}
			out[n] = what
			continue
		}
		for n, want := range out {
			if what, ok := table.Find(n); what != want || !ok {
				t.Fatalf("%#x lends %d, %v, want %d", n, what, ok, want)
			}
			if what, ok := table.End(n); what != want || !ok {
				t.Fatalf("%#x lent %d, %v, want %d", n, what, ok, want)
			}
			delete(out, n)
			if ended = append(ended, n); len(ended) > 100 {
				ended = ended[1:]
			}
			break
		}
		for _, n := range ended {
			if _, ok := table.Find(n); ok {
				t.Fatalf("%#x has ended, and is found", n)
			}
		}
		if len(ended) == 0 {
			continue
		}
		if n := ended[rng.IntN(len(ended))]; !panics(func() { table.End(n) }) {
			t.Fatalf("%#x ended twice", n)
		}
	}
}

func TestNoLoan(t *testing.T) {
	var table Table
	first := table.Lend(1)
	for _, n := range []uint32{0, first + 1, first | 1<<31, 1 << 31, 1<<32 - 1, first + 1<<indexBits} {
		if _, ok := table.Find(n); ok {
			t.Errorf("%#x is found", n)
		}
		if !panics(func() { table.End(n) }) {
			t.Errorf("%#x was never lent, and could be ended", n)
		}
	}
	table.Close()
	for _, n := range []uint32{first, first, 0, 77} {
		if what, ok := table.End(n); what != 0 || ok {
			t.Errorf("after Close, %#x lends %d, %v", n, what, ok)
		}
	}
}

func TestMax(t *testing.T) {
	table := Table{places: make([]place, Max-1)}
	if table.Full() {
		t.Error("it is full one too early")
	}
	last := table.Lend(5)
	if n := table.Lend(6); n != 0 || !table.Full() {
		t.Errorf("number %#x beyond the bound, full %v", n, table.Full())
	}
	if what, ok := table.End(last); what != 5 || !ok || table.Full() {
		t.Errorf("the last loan was of %d, %v; full %v", what, ok, table.Full())
	}
	if n := table.Lend(6); n == 0 || n == last {
		t.Errorf("number %#x after %#x", n, last)
	}
}

func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(place{}); n != 8 {
		t.Errorf("a loan takes %d bytes, want 8", n)
	}
}

func TestAllocatesNothing(t *testing.T) {
	var table Table
	table.End(table.Lend(1))
	if n := testing.AllocsPerRun(1000, func() { table.End(table.Lend(1)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
