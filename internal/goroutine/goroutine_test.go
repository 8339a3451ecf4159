package goroutine

import (
	"iter"
	"runtime"
	"sync"
	"testing"
)

// A goroutine knows itself for as long as it runs: whatever thread it is on, wherever its stack has moved to, and
// whoever has switched to it.
func TestSame(t *testing.T) {
	if !Known {
		t.Skip("goroutines cannot be told apart in this build")
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			id := ID()
			if id == 0 {
				t.Error("its ID is zero")
			}
			for i := range 100 {
				runtime.Gosched()
				if i%10 == 0 {
					deeper(64)
				}
				if ID() != id || !Is(&id) {
					t.Errorf("it was %#x, and is %#x", id, ID())
				}
			}
		})
	}
	all.Wait()
}

// deeper takes a stack of some kilobytes.
func deeper(n int) int {
	var frame [256]byte
	if n == 0 {
		return int(frame[0])
	}
	frame[n] = byte(n)
	return deeper(n-1) + int(frame[n])
}

// No two goroutines that run are the same, a coroutine and who resumes it included.
func TestOther(t *testing.T) {
	if !Known {
		t.Skip("goroutines cannot be told apart in this build")
	}
	mine := ID()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if Is(&mine) || ID() == mine {
			t.Error("another goroutine is the same")
		}
	}()
	<-done
	var its uintptr
	next, stop := iter.Pull(func(yield func(bool) bool) {
		its = ID()
		for yield(Is(&mine)) && Is(&its) {
		}
	})
	defer stop()
	for range 3 {
		if same, ok := next(); same || !ok {
			t.Error("a coroutine is its caller, or not itself")
		}
		if Is(&its) || !Is(&mine) {
			t.Error("after a switch it is another one")
		}
	}
}

func TestNone(t *testing.T) {
	if none := uintptr(0); Is(&none) {
		t.Error("zero is a goroutine")
	}
}

func BenchmarkIs(b *testing.B) {
	id := ID()
	for b.Loop() {
		if Known && !Is(&id) {
			b.Fatal("it is another one")
		}
	}
}
