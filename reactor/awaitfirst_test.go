package reactor

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
)

// The first that is over decides; the others are canceled and over, and can be yielded again.
func TestAwaitFirst(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			defer closeFDs(task, r, w)
			fd, _ := rawListener(t)
			defer closeFDs(task, fd)
			a, b := rawPair(t)
			defer closeFDs(task, a, b)
			held := &testEvent{register: func(r event.Reactor) error { r.Hold(); return nil }}
			piped := &event.ReadInto{FD: r, Buf: make([]byte, 4)}
			accepted := &event.Accept{FD: fd}
			read := &event.Read{FD: a}
			for round := range 20 {
				i, err := task.AwaitFirst(accepted, read, &event.Sleep{For: time.Hour}, &event.Sleep{For: time.Microsecond}, piped, held)
				if i != 3 || err != nil || accepted.Conn != -1 || read.Data != nil || piped.N != 0 {
					t.Fatalf("AwaitFirst: %d, %v", i, err)
				}
				if round%2 == 0 {
					unix.Write(w, []byte("ping"))
				} else {
					unix.Write(b, []byte("pong"))
				}
				i, err = task.AwaitFirst(accepted, held, read, &event.Sleep{For: time.Hour}, piped)
				switch {
				case round%2 == 0 && i == 4 && err == nil && string(piped.Buf[:piped.N]) == "ping":
				case round%2 == 1 && i == 2 && err == nil && string(read.Data) == "pong":
				default:
					t.Fatalf("AwaitFirst: %d, %v; %q, %q", i, err, piped.Buf[:piped.N], read.Data)
				}
				read.Release()
			}
			i, err := task.AwaitFirst(&event.Sleep{For: time.Hour}, timerEvent(1))
			if i != 1 || !errors.Is(err, ErrDeadline) {
				t.Errorf("AwaitFirst: %d, %v", i, err)
			}
			others := 0
			task.Go(func(Task) error { others++; return nil })
			if i, err := task.AwaitFirst(event.Yield{}, event.Yield{}); i != 0 || err != nil || others != 1 {
				t.Errorf("AwaitFirst of Yield: %d, %v", i, err)
			}
			if n := task.Loop().timers.Len(); n != 0 {
				t.Errorf("%d timers are left", n)
			}
		})
	})
}

// Of a stream that is read by an event which loses again and again, no byte is lost.
func TestAwaitFirstLosesNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := rawPair(t)
			defer closeFDs(task, a, b)
			want := pattern(1000)
			task.Go(func(task Task) error {
				for i := range want {
					unix.Write(b, want[i:i+1])
					if i%4 == 0 {
						task.Sleep(5 * time.Microsecond)
					}
				}
				return nil
			})
			var got []byte
			read := &event.Read{FD: a}
			for d := time.Duration(1); len(got) < len(want); d = (d + 3*time.Microsecond) % (50 * time.Microsecond) {
				_, err := task.AwaitFirst(&event.Sleep{For: d}, read)
				must(t, "AwaitFirst", err)
				got = append(got, read.Data...) // whichever was first
				read.Release()
			}
			same(t, "what was read", got, want)
		})
	})
}

// Where the task is canceled, so are all; a result beats that.
func TestAwaitFirstCanceled(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			defer closeFDs(task, r, w)
			piped := &event.ReadInto{FD: r, Buf: make([]byte, 4)}
			held := &testEvent{register: func(r event.Reactor) error { r.Hold(); return nil }}
			for how, scope := range endings {
				cause, err := scope(task, func() error {
					i, err := task.AwaitFirst(held, piped, &event.Sleep{For: time.Hour})
					if i != -1 {
						t.Errorf("%s: event %d was first, %v", how, i, err)
					}
					return err
				})
				wantErr(t, how, err, cause)
			}
			waiter := task.Go(func(task Task) error {
				i, err := task.AwaitFirst(&event.Sleep{For: time.Hour}, &testEvent{
					register: func(r event.Reactor) error { r.Submit(readOp(piped.FD)); return nil },
					resume:   func(event.Reactor, *backend.Completion) (bool, error) { return true, nil }, // has a result even so
				})
				if i != 1 || err != nil {
					t.Errorf("AwaitFirst: %d, %v", i, err)
				}
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			waiter.Cancel()
			when(t, task, "it has ended", waiter.Done)
		})
	})
}

func readOp(fd int) backend.Op { return backend.Op{Kind: backend.Read, FD: fd, Buf: make([]byte, 1)} }

// What cannot be waited for is an error; a panic, or Goexit, of one event cancels the others.
func TestAwaitFirstOfNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			if i, err := task.AwaitFirst(); i != -1 || err == nil {
				t.Errorf("AwaitFirst: %d, %v", i, err)
			}
			if i, err := task.AwaitFirst(event.Yield{}, nil); i != -1 || err == nil {
				t.Errorf("AwaitFirst: %d, %v", i, err)
			}
			if i, err := task.AwaitFirst(&event.Sleep{For: time.Hour}, idle{}); i != 1 || err == nil {
				t.Errorf("AwaitFirst: %d, %v", i, err)
			}
			if i, err := (Task{}).AwaitFirst(event.Yield{}); i != -1 || !errors.Is(err, ErrNotTask) {
				t.Errorf("AwaitFirst: %d, %v", i, err)
			}
			r, w := newPipe(t)
			defer closeFDs(task, r, w)
			fail := func() { panicking("event") }
			timer := func(r event.Reactor) error { r.Timer(r.Now() + 1); return nil }
			over := func(event.Reactor, *backend.Completion) (bool, error) { return true, nil }
			for _, ev := range []*testEvent{
				{register: func(event.Reactor) error { fail(); return nil }},
				{register: func(event.Reactor) error { runtime.Goexit(); return nil }, resume: over},
				{register: timer, resume: func(event.Reactor, *backend.Completion) (bool, error) { fail(); return true, nil }},
			} {
				waiter := task.Go(func(task Task) error {
					defer func() {
						if v := recover(); v != nil {
							wantPanic(t, newPanicError(v), "event")
						}
					}()
					task.AwaitFirst(&event.ReadInto{FD: r, Buf: make([]byte, 1)}, &event.Sleep{For: time.Hour}, ev)
					t.Error("AwaitFirst returned")
					return nil
				})
				when(t, task, "it has ended", waiter.Done)
			}
			when(t, task, "nothing is in flight", func() (idle bool) {
				spy := spyOn(task.Loop())
				spy.counts(func() { idle = len(spy.flight) == 0 })
				return idle
			})
		})
	})
}

// At the end of the loop it ends.
func TestAwaitFirstAtTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		l := testLoop(t, name)
		must(t, "Go", l.Go(func(task Task) error {
			task.Go(func(Task) error { cancel(); return nil })
			i, err := task.AwaitFirst(&event.Sleep{For: time.Hour}, &event.Sleep{For: time.Hour})
			if i != -1 || err != ErrCanceled {
				t.Errorf("AwaitFirst: %d, %v", i, err)
			}
			return err
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
	})
}
