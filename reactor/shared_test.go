package reactor

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
)

// Several writers may use one connection at once: what each wrote in one call stays together.
func TestSeveralWriters(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pairOf(t, task, full, "127.0.0.1:0")
			sizes := []int{10, 3000, directSize - 1, directSize, 100_000}
			const rounds = 10
			writers := 0
			for w, size := range sizes {
				task.Go(func(task Task) error {
					for i := range rounds {
						message := bytes.Repeat([]byte{byte(w)}, size)
						binary.BigEndian.PutUint32(message, uint32(size))
						message[4], message[5] = byte(w), byte(i)
						var n int
						var err error
						if i%2 == 0 {
							n, err = a.Write(message)
						} else {
							n, err = a.Writev([][]byte{message[:size/2], message[size/2:]})
						}
						if n != size || err != nil {
							t.Errorf("Write: %d of %d, %v", n, size, err)
						}
						if i%3 == 0 {
							task.Yield()
						}
					}
					if writers++; writers == len(sizes) {
						return a.Close()
					}
					return nil
				})
			}
			var next [8]byte // of each writer
			for {
				var head [6]byte
				if _, err := io.ReadFull(b, head[:]); err != nil {
					if err != io.EOF {
						t.Errorf("ReadFull: %v", err)
					}
					break
				}
				w := head[4]
				if int(w) >= len(sizes) || int(binary.BigEndian.Uint32(head[:])) != sizes[w] || head[5] != next[w] {
					t.Fatalf("messages are mixed up: one begins with %v", head)
				}
				next[w]++
				body := make([]byte, sizes[w]-len(head))
				if _, err := io.ReadFull(b, body); err != nil || bytes.Count(body, []byte{w}) != len(body) {
					t.Fatalf("a message of writer %d is not whole: %v", w, err)
				}
			}
			for w := range sizes {
				if next[w] != rounds {
					t.Errorf("writer %d: %d of %d messages came", w, next[w], rounds)
				}
			}
			must(t, "Close", b.Close())
		})
	})
}

// Of two writers that wait with bytes of their own, the first is canceled: each is told what was sent of its own, and
// the stream has exactly that.
func TestSeveralWritersOneCanceled(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pairOf(t, task, full, "127.0.0.1:0")
			const size = 8 << 20
			var sent [2]int
			var writers [2]Task
			for i := range writers {
				writers[i] = task.Go(func(task Task) error {
					n, err := a.Write(bytes.Repeat([]byte{byte('a' + i)}, size))
					if sent[i] = n; i == 0 {
						wantOpError(t, "the canceled Write", err, "write", ErrCanceled)
					} else if n != size || err != nil {
						t.Errorf("the other Write: %d, %v", n, err)
					}
					return nil
				})
			}
			for range 5 {
				must(t, "Yield", task.Yield())
			}
			writers[0].Cancel()
			when(t, task, "the first has ended", writers[0].Done)
			if sent[0] <= 0 || sent[0] >= size {
				t.Errorf("the canceled Write has sent %d bytes", sent[0])
			}
			if writers[1].Done() {
				t.Error("the second has ended")
			}
			task.Go(func(task Task) error {
				when(t, task, "the second has ended", writers[1].Done)
				return a.Close()
			})
			var got [256]int
			last := byte('a')
			for {
				data, err := b.Next()
				if err != nil {
					break
				}
				for _, c := range data {
					if got[c]++; c < last {
						t.Fatal("the streams are mixed up")
					}
					last = c
				}
			}
			if got['a'] != sent[0] || got['b'] != size {
				t.Errorf("%d bytes of the first came, which was told %d, and %d of the second", got['a'], sent[0], got['b'])
			}
			must(t, "Close", b.Close())
		})
	})
}

// Several readers share what comes: each byte goes to one of them.
func TestSeveralReaders(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			want := pattern(1 << 20)
			got := 0
			var readers []Task
			for i := range 4 {
				readers = append(readers, task.Go(func(Task) error {
					for {
						var n int
						var err error
						if i%2 == 0 {
							var buf [3000]byte
							n, err = b.Read(buf[:])
						} else {
							var data []byte
							data, err = b.Next()
							n = len(data)
						}
						got += n
						if err != nil {
							if err != io.EOF {
								t.Errorf("a reader: %v", err)
							}
							return nil
						}
					}
				}))
			}
			for rest := want; len(rest) > 0; rest = rest[1<<10:] {
				if _, err := a.Write(rest[:1<<10]); err != nil {
					t.Errorf("Write: %v", err)
				}
				must(t, "Yield", task.Yield())
			}
			must(t, "Close", a.Close())
			for _, r := range readers {
				when(t, task, "each reader meets the end", r.Done)
			}
			if got != len(want) {
				t.Errorf("the readers got %d of %d bytes", got, len(want))
			}
			must(t, "Close", b.Close())
		})
	})
}
