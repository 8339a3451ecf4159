package reactor

import (
	"context"
	"testing"
)

// Values stay where they are, are all different and zero, and all of them are found, in order.
func TestSlab(t *testing.T) {
	var s slab[[8]int]
	size := s.perChunk()
	for range s.all() {
		t.Error("an empty slab has a value")
	}
	var list []*[8]int
	seen := map[*[8]int]bool{}
	for n := range 5*size + 1 {
		v := s.get()
		if *v != [8]int{} || seen[v] {
			t.Fatalf("value %d is not new", n)
		}
		v[0] = n
		seen[v] = true
		list = append(list, v)
		if n%size > 1 && n != 5*size {
			continue
		}
		i := 0
		for v := range s.all() {
			if i >= len(list) || v != list[i] || v[0] != i {
				t.Fatalf("value %d of %d is another", i, len(list))
			}
			i++
		}
		if i != len(list) {
			t.Errorf("%d of %d values are found", i, len(list))
		}
	}
}

// Whoever looks through a slab may stop, and may have more handed out meanwhile, which it does not meet.
func TestSlabWhileLooking(t *testing.T) {
	var s slab[int]
	size := s.perChunk()
	for range size {
		s.get()
	}
	n := 0
	for range s.all() {
		n++
		s.get()
	}
	if n != size {
		t.Errorf("%d values were met, want %d", n, size)
	}
	n = 0
	for range s.all() {
		if n++; n == size+1 {
			break
		}
	}
	if n != size+1 {
		t.Errorf("%d values were met before the break", n)
	}
}

// What a loop has used once it uses again: its memory grows with what there is at a time, and not with what there was.
func TestSlabIsUsedAgain(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		const at = 100
		err := runLoop(t, l, func(task Task) error {
			for range 5 {
				for range at {
					task.Go(func(task Task) error { return task.Yield() })
				}
				when(t, task, "they have ended", func() bool { return l.live == 1 })
				for range 2 {
					a, b := pair(t, task)
					must(t, "Close", a.Close())
					must(t, "Close", b.Close())
				}
				when(t, task, "they are closed", func() bool { return l.open == 0 })
			}
			// Beside them there are the first task and those that wait for a wait's end.
			if l.tasks.n > at+2 || l.conns.n != 2 {
				t.Errorf("there are %d tasks and %d connections, of %d and 2 at a time", l.tasks.n, l.conns.n, at+1)
			}
			return nil
		})
		must(t, "Run", err)
	})
}

// When a loop ends, tasks of every chunk are canceled, and connections of every chunk closed.
func TestSlabIsCleared(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		ctx, cancel := context.WithCancel(context.Background())
		canceled := 0
		conns := 2*new(slab[conn]).perChunk() + 5
		must(t, "Go", l.Go(func(task Task) error {
			for range conns {
				a, _ := pair(t, task)
				task.Go(func(Task) error {
					_, err := a.Next()
					wantErr(t, "Next", err, ErrCanceled)
					canceled++
					return err
				})
			}
			must(t, "Yield", task.Yield())
			cancel()
			return nil
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
		if canceled != conns {
			t.Errorf("%d of %d tasks were canceled", canceled, conns)
		}
	})
}
