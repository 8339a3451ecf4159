package reactor

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A reader that is canceled loses no byte: the next one goes on where it was.
func TestCanceledReaderLosesNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			want := pattern(2000)
			random := rand.New(rand.NewPCG(3, 4))
			task.Go(func(task Task) error {
				for i := range want {
					a.Write(want[i : i+1])
					if random.IntN(3) == 0 {
						task.Sleep(10 * time.Microsecond)
					}
				}
				return a.Close()
			})
			var got []byte
			canceled := 0
			for over := false; !over; {
				reader := task.Go(func(Task) error {
					for {
						buf := make([]byte, 1+random.IntN(20))
						n, err := b.Read(buf)
						got = append(got, buf[:n]...)
						switch {
						case err == nil:
						default:
							if over = isEOF(err); !over {
								wantOpError(t, "Read", err, "read", ErrCanceled)
								canceled++
							}
							return nil
						}
					}
				})
				for range random.IntN(4) {
					must(t, "Yield", task.Yield())
				}
				reader.Cancel()
				when(t, task, "the reader has ended", reader.Done)
			}
			same(t, "what was read", got, want)
			if canceled < 10 {
				t.Errorf("only %d readers were canceled", canceled)
			}
			must(t, "Close", b.Close())
		})
	})
}

// A large write that is canceled midway tells how much was sent, and the stream goes on exactly there.
func TestCanceledWriterTellsHowMuch(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pairOf(t, task, full, "127.0.0.1:0")
			want := pattern(8 << 20)
			sent, cut := 0, 0
			var reader Task
			for round := 0; sent < len(want); round++ {
				writer := task.Go(func(Task) error {
					var n int
					var err error
					if round%2 == 0 {
						n, err = a.Write(want[sent:])
					} else {
						half := (len(want) - sent) / 2
						n, err = a.Writev([][]byte{want[sent : sent+half], want[sent+half:]})
					}
					if sent += n; err != nil {
						wantOpError(t, "Write", err, "write", ErrCanceled)
						cut++
					} else if sent != len(want) {
						t.Errorf("Write: %d bytes and no error", n)
					}
					return nil
				})
				must(t, "Sleep", task.Sleep(time.Millisecond))
				switch {
				case round == 5: // from here on somebody reads
					reader = task.Go(func(Task) error { readAll(t, b, want); return nil })
				case round > 20:
					when(t, task, "the writer has ended", writer.Done)
				}
				writer.Cancel()
				when(t, task, "the writer has ended", writer.Done)
			}
			if cut < 5 {
				t.Errorf("only %d writes were canceled", cut)
			}
			must(t, "Close", a.Close())
			when(t, task, "all is read", reader.Done)
		})
	})
}

// A small write that was taken before its task is canceled is sent.
func TestCanceledTaskHasWritten(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			writer := task.Go(func(task Task) error {
				a.Write([]byte("before"))
				task.Cancel()
				if n, err := a.Write([]byte(", after")); n != 7 || err != nil {
					t.Errorf("Write: %d, %v; it need not wait", n, err)
				}
				wantOpError(t, "Flush", a.Flush(), "write", ErrCanceled)
				_, err := a.Write(make([]byte, directSize))
				wantOpError(t, "large Write", err, "write", ErrCanceled)
				return nil
			})
			when(t, task, "the writer has ended", writer.Done)
			must(t, "Close", a.Close())
			readAll(t, b, []byte("before, after"))
		})
	})
}

// A canceled task still gets what is there already: a result beats a cancel.
func TestCanceledReaderGetsWhatIsThere(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			a.Write([]byte("one two"))
			buf := make([]byte, 3)
			if n, err := b.Read(buf); n != 3 || err != nil {
				t.Errorf("Read: %d, %v", n, err)
			}
			reader := task.Go(func(task Task) error {
				task.Cancel()
				if data, err := b.Next(); string(data) != " two" || err != nil {
					t.Errorf("Next: %q, %v", data, err)
				}
				_, err := b.Next()
				wantOpError(t, "Next", err, "read", ErrCanceled)
				return nil
			})
			when(t, task, "it has ended", reader.Done)
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}
