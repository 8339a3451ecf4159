package timers

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

// expired takes out what expires by now, as values.
func expired(h *Heap[int], now time.Duration) (values []int) {
	for t := h.Expire(now); t != nil; t = h.Expire(now) {
		values = append(values, t.Value)
	}
	return values
}

func TestOrder(t *testing.T) {
	var h Heap[int]
	timers := make([]Timer[int], 1000)
	for i, when := range rand.New(rand.NewPCG(1, 2)).Perm(len(timers)) {
		timers[i].Value = when
		h.Set(&timers[i], time.Duration(when))
	}
	for now := range 1000 {
		if when, ok := h.Next(); !ok || when != time.Duration(now) {
			t.Fatalf("Next is %v, %v; want %d", when, ok, now)
		}
		if got := expired(&h, time.Duration(now)); !slices.Equal(got, []int{now}) {
			t.Fatalf("at %d expired %v", now, got)
		}
	}
	if _, ok := h.Next(); ok || h.Len() != 0 {
		t.Fatalf("%d timers are left", h.Len())
	}
}

// Those of equal time expire in the order they were set, and setting one again puts it behind the others.
func TestTies(t *testing.T) {
	var h Heap[int]
	timers := make([]Timer[int], 100)
	var want []int
	for i := range timers {
		timers[i].Value = i
		h.Set(&timers[i], 7)
		if i%3 != 0 {
			want = append(want, i)
		}
	}
	for i := 0; i < len(timers); i += 3 {
		h.Set(&timers[i], 7)
		want = append(want, i)
	}
	if got := expired(&h, 6); got != nil {
		t.Errorf("%v expired early", got)
	}
	if got := expired(&h, 7); !slices.Equal(got, want) {
		t.Errorf("expired in the order\n%v, want\n%v", got, want)
	}
}

func TestStop(t *testing.T) {
	var h Heap[int]
	var a, b Timer[int]
	if h.Stop(&a) {
		t.Error("Stop of a timer that was never set says that it was")
	}
	h.Set(&a, 1)
	h.Set(&b, 2)
	if !a.Active() || !h.Stop(&a) || a.Active() || h.Stop(&a) {
		t.Error("a timer is not stopped once")
	}
	if when, ok := h.Next(); !ok || when != 2 || h.Len() != 1 {
		t.Errorf("what is left is at %v, %v, and %d", when, ok, h.Len())
	}
	if got := h.Expire(2); got != &b || b.Active() || b.When() != 2 {
		t.Errorf("expired %v, active %v, when %v", got, b.Active(), b.When())
	}
	if h.Stop(&b) {
		t.Error("Stop of an expired timer says that it was set")
	}
	h.Set(&b, 3) // it can be used again
	if h.Expire(3) != &b {
		t.Error("a timer that was used again did not expire")
	}
}

// One that is set while others expire takes part, and an endless sequence of such is the caller's to bound.
func TestSetWhileExpiring(t *testing.T) {
	var h Heap[int]
	a, b := Timer[int]{Value: 1}, Timer[int]{Value: 2}
	h.Set(&a, 5)
	if h.Expire(9) != &a {
		t.Fatal("a did not expire")
	}
	h.Set(&b, 8)
	h.Set(&a, 8)
	if got := expired(&h, 9); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("expired %v", got)
	}
}

func TestNothingAllocated(t *testing.T) {
	var h Heap[int]
	timers := make([]Timer[int], 100)
	n := testing.AllocsPerRun(100, func() {
		for i := range timers {
			h.Set(&timers[i], time.Duration(i*7%13))
		}
		for i := 0; i < len(timers); i += 2 {
			h.Stop(&timers[i])
		}
		for h.Expire(100) != nil {
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzModel compares the heap with a sorted list. A byte of the script is an action and its timer, the next its time.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 1, 1, 2, 1, 200, 0})
	f.Add([]byte{0, 9, 64, 3, 128, 0, 192, 9})
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		script := make([]byte, 2000)
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		var h Heap[int]
		var timers [64]Timer[int]
		for i := range timers {
			timers[i].Value = i
		}
		type entry struct {
			when time.Duration
			who  int
		}
		var model []entry // in order of expiry
		remove := func(who int) bool {
			i := slices.IndexFunc(model, func(e entry) bool { return e.who == who })
			if i >= 0 {
				model = slices.Delete(model, i, i+1)
			}
			return i >= 0
		}
		for i := 0; i+1 < len(script); i += 2 {
			who, when := int(script[i]&63), time.Duration(script[i+1]%16)
			switch script[i] >> 6 {
			case 0, 1: // set, or move
				h.Set(&timers[who], when)
				remove(who)
				at, _ := slices.BinarySearchFunc(model, when, func(e entry, when time.Duration) int {
					if e.when <= when {
						return -1
					}
					return 1
				})
				model = slices.Insert(model, at, entry{when, who})
			case 2:
				if got, want := h.Stop(&timers[who]), remove(who); got != want {
					t.Fatalf("step %d: Stop of %d is %v, want %v", i, who, got, want)
				}
			case 3:
				got := h.Expire(when)
				switch {
				case len(model) == 0 || model[0].when > when:
					if got != nil {
						t.Fatalf("step %d: %d expired, want none", i, got.Value)
					}
				case got == nil || got.Value != model[0].who:
					t.Fatalf("step %d: expired %v, want %d", i, got, model[0].who)
				default:
					model = model[1:]
				}
			}
			next, ok := h.Next()
			if h.Len() != len(model) || ok != (len(model) > 0) || ok && next != model[0].when {
				t.Fatalf("step %d: %d timers, the next at %v, %v; want %v", i, h.Len(), next, ok, model)
			}
		}
		var want []int
		for _, e := range model {
			want = append(want, e.who)
		}
		if got := expired(&h, 1<<40); !slices.Equal(got, want) {
			t.Fatalf("in the end expired %v, want %v", got, want)
		}
	})
}

func BenchmarkSetStop(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(strconv.Itoa(n)+"_others", func(b *testing.B) {
			var h Heap[int]
			others := make([]Timer[int], n)
			for i := range others {
				h.Set(&others[i], time.Duration(i)*time.Second)
			}
			var t Timer[int]
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.Set(&t, time.Duration(i%n)*time.Second)
				h.Stop(&t)
			}
		})
	}
}
