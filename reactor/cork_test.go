package reactor

import (
	"io"
	"slices"
	"testing"

	"github.com/eyewall/eyewall/backend"
)

// sendsOf tells how many bytes each send had that body made.
func sendsOf(l *Loop, body func()) []int {
	s := spyOn(l)
	var before int
	s.counts(func() { before = len(s.sends) })
	body()
	var sends []int
	s.counts(func() { sends = slices.Clone(s.sends[before:]) })
	return sends
}

// Small writes go out in one piece, when the task next waits.
func TestSmallWritesGoOutTogether(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			want := pattern(1000)
			sends := sendsOf(task.Loop(), func() {
				for rest := want; len(rest) > 0; rest = rest[10:] {
					if n, err := a.Write(rest[:10]); n != 10 || err != nil {
						t.Errorf("Write: %d, %v", n, err)
					}
				}
			})
			if len(sends) != 0 {
				t.Errorf("Write has sent before the task waits: %v", sends)
			}
			sends = sendsOf(task.Loop(), func() {
				data, err := b.Next()
				must(t, "Next", err)
				same(t, "what comes in one piece", data, want)
			})
			if !slices.Equal(sends, []int{1000}) {
				t.Errorf("sends of %v bytes, want one of 1000", sends)
			}

			// Also those of several tasks, and both kinds of calls.
			sends = sendsOf(task.Loop(), func() {
				for range 10 {
					task.Go(func(Task) error {
						a.Write([]byte("one"))
						_, err := a.Writev([][]byte{[]byte("tw"), nil, []byte("o")})
						return err
					})
				}
				must(t, "Yield", task.Yield())
				must(t, "Flush", a.Flush())
			})
			if !slices.Equal(sends, []int{60}) {
				t.Errorf("sends of %v bytes, want one of 60", sends)
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// What gathers is bounded: a writer who does not wait by itself does at the limit.
func TestCorkLimit(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			want := pattern(10 * corkLimit)
			task.Go(func(Task) error {
				for rest := want; len(rest) > 0; rest = rest[1024:] {
					if _, err := a.Write(rest[:1024]); err != nil {
						t.Errorf("Write: %v", err)
					}
					if n := a.c.gathered(); n > corkLimit {
						t.Errorf("%d bytes are gathered, more than %d", n, corkLimit)
					}
				}
				return a.Close()
			})
			var got []byte
			sends := sendsOf(task.Loop(), func() {
				var err error
				got, err = io.ReadAll(b)
				must(t, "ReadAll", err)
			})
			same(t, "what was written", got, want)
			if len(sends) > 12 || slices.Max(sends) > corkLimit {
				t.Errorf("sends of %v bytes; %d KiB gather at most", sends, corkLimit>>10)
			}
			must(t, "Close", b.Close())
		})
	})
}

// A large write goes out as it is, after what was gathered before, and Write returns when it is sent.
func TestLargeWriteGoesOutItself(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			large := pattern(directSize)
			var got []byte
			reader := task.Go(func(Task) error {
				var err error
				got, err = io.ReadAll(b)
				return err
			})
			sends := sendsOf(task.Loop(), func() {
				a.Write([]byte("before"))
				if n, err := a.Write(large); n != len(large) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
				a.Write([]byte("after"))
				if n, err := a.Writev([][]byte{large, []byte("more"), large}); n != 2*len(large)+4 || err != nil {
					t.Errorf("Writev: %d, %v", n, err)
				}
			})
			if !slices.Equal(sends, []int{6, directSize, 5, 2*directSize + 4}) {
				t.Errorf("sends of %v bytes", sends)
			}
			must(t, "Close", a.Close())
			when(t, task, "all is read", reader.Done)
			want := slices.Concat([]byte("before"), large, []byte("after"), large, []byte("more"), large)
			same(t, "what was written", got, want)
			must(t, "Close", b.Close())
		})
	})
}

// One send is in flight at a time; what is written meanwhile goes out with the next.
func TestOneSendInFlight(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, peer := peered(t, task, ListenConfig{SendBuffer: 64 << 10}, "127.0.0.1:0")
			s := spyOn(task.Loop())
			inFlight := func() (n int) {
				s.counts(func() {
					for _, k := range s.flight {
						if k == backend.Send {
							n++
						}
					}
				})
				return n
			}
			written := 0
			writer := task.Go(func(task Task) error {
				block := pattern(8000)
				for {
					n, err := a.Write(block)
					if written += n; err != nil {
						wantErr(t, "Write", err, ErrCanceled)
						return nil
					}
					if n := inFlight(); n > 1 {
						t.Errorf("%d sends are in flight", n)
					}
					task.Yield()
				}
			})
			before := -1
			when(t, task, "the writer waits", func() bool {
				now := written
				stands := now == before && now > 0
				before = now
				must(t, "Sleep", task.Sleep(2e6))
				return stands
			})
			if n := inFlight(); n != 1 {
				t.Errorf("%d sends are in flight, want one that waits", n)
			}
			writer.Cancel()
			when(t, task, "it has ended", writer.Done)
			off(t, task, func() { go io.Copy(io.Discard, peer) })
			must(t, "Close", a.Close())
		})
	})
}
