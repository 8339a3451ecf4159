package retry

import (
	"slices"
	"testing"
	"time"
)

// The pause doubles while anything waits, and is short again when a backend has waited with an empty list.
func TestPauses(t *testing.T) {
	var l List[int]
	now := time.Duration(0)
	try := func(v int) { l.Add(v, now) }
	try(7)
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 32, 32} {
		at := l.Next(time.Hour)
		if at-now != want*time.Millisecond {
			t.Fatalf("pause of %v, want %v ms", at-now, want)
		}
		l.Fire(at-1, func(int) { t.Fatal("tried too early") })
		now = at
		l.Fire(now, try)
	}
	l.Fire(l.Next(time.Hour), func(int) {})
	if at := l.Next(time.Hour); at != time.Hour || !l.Empty() {
		t.Errorf("an empty list is to be tried at %v", at)
	}
	try(7)
	if at := l.Next(time.Hour); at != now+time.Millisecond {
		t.Errorf("pause of %v after a rest, want 1 ms", at-now)
	}
	if at := l.Next(now); at != now {
		t.Errorf("next try at %v, want no later than %v", at, now)
	}
}

// What is added in between is tried along with the rest, once, and its memory is used again.
func TestTogether(t *testing.T) {
	var l List[int]
	now := time.Duration(0)
	round := func() {
		for i := range 10 {
			l.Add(i, now+time.Duration(i))
		}
		var got []int
		now = l.Next(time.Hour)
		l.Fire(now, func(v int) { got = append(got, v) })
		if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) || !l.Empty() {
			t.Fatalf("tried %v", got)
		}
	}
	round()
	round()
	if n := testing.AllocsPerRun(100, func() {
		for i := range 10 {
			l.Add(i, now)
		}
		now = l.Next(time.Hour)
		l.Fire(now, func(int) {})
	}); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}
