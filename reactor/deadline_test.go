package reactor

import (
	"errors"
	"math"
	"net"
	"os"
	"testing"
	"time"
)

// wantTimeout checks that err is what net.Conn promises of a deadline.
func wantTimeout(t testing.TB, what string, err error, op string) {
	t.Helper()
	wantOpError(t, what, err, op, os.ErrDeadlineExceeded)
	var e net.Error
	if !errors.As(err, &e) || !e.Timeout() {
		t.Errorf("%s: %v is no timeout", what, err)
	}
}

// reads are the calls that a read deadline ends.
var reads = map[string]func(Conn) error{
	"Next": func(c Conn) error { _, err := c.Next(); return err },
	"Read": func(c Conn) error { _, err := c.Read(make([]byte, 10)); return err },
}

// A read ends at its deadline and not before; it goes on ending until the deadline is moved. No byte is lost by that.
func TestReadDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			for what, read := range reads {
				const d = 2 * time.Millisecond
				began := time.Now()
				must(t, "SetReadDeadline", b.SetReadDeadline(began.Add(d)))
				wantTimeout(t, what, read(b), "read")
				if took := time.Since(began); took < d {
					t.Errorf("%s took %v", what, took)
				}
				wantTimeout(t, what+", again", read(b), "read")
				a.Write([]byte("data"))
				must(t, "Sleep", task.Sleep(time.Millisecond))
				wantTimeout(t, what+", though there is data", read(b), "read")

				must(t, "SetReadDeadline", b.SetReadDeadline(time.Now().Add(time.Hour)))
				buf := make([]byte, 3)
				if n, err := b.Read(buf); n != 3 || string(buf) != "dat" || err != nil {
					t.Errorf("after the deadline: %q, %v", buf[:n], err)
				}
				must(t, "SetReadDeadline", b.SetReadDeadline(time.Time{}))
				if data, err := b.Next(); string(data) != "a" || err != nil {
					t.Errorf("without a deadline: %q, %v", data, err)
				}
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// Of a deadline that is over from the start, reads and writes learn at once.
func TestPastDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			for _, at := range []time.Time{time.Now().Add(-time.Hour), time.Unix(0, 1), time.Unix(-1<<40, 0)} {
				must(t, "SetDeadline", a.SetDeadline(at))
				for what, read := range reads {
					wantTimeout(t, what, read(a), "read")
				}
				for what, write := range map[string]func() error{
					"Write":       func() error { _, err := a.Write([]byte("x")); return err },
					"large Write": func() error { _, err := a.Write(make([]byte, directSize)); return err },
					"Writev":      func() error { _, err := a.Writev([][]byte{[]byte("x")}); return err },
					"CloseWrite":  a.CloseWrite,
				} {
					wantTimeout(t, what, write(), "write")
				}
			}
			must(t, "SetDeadline", a.SetDeadline(time.Time{}))
			a.Write([]byte("works"))
			data, err := b.Next()
			must(t, "Next", err)
			same(t, "what comes", data, []byte("works"))
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// One far away is none.
func TestFarDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			for _, at := range []time.Time{time.Unix(1<<40, 0), time.Now().Add(math.MaxInt64)} {
				must(t, "SetDeadline", b.SetDeadline(at))
				task.Go(func(task Task) error {
					must(t, "Sleep", task.Sleep(time.Millisecond))
					_, err := a.Write([]byte("x"))
					return err
				})
				if _, err := b.Next(); err != nil {
					t.Errorf("Next: %v", err)
				}
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// A deadline may be moved, to earlier or later, and taken away, while a read waits.
func TestDeadlineMovedWhileWaiting(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			var took time.Duration
			for first := 30 * time.Millisecond; ; first *= 2 { // longer, if this machine was too slow to take it away
				now := time.Now()
				must(t, "SetReadDeadline", b.SetReadDeadline(now.Add(first)))
				reader := task.Go(func(Task) error {
					_, err := b.Next()
					took = time.Since(now)
					wantTimeout(t, "Next", err, "read")
					return nil
				})
				must(t, "Yield", task.Yield())
				must(t, "SetReadDeadline", b.SetReadDeadline(time.Time{}))
				inTime := time.Since(now) < first
				must(t, "Sleep", task.Sleep(first+10*time.Millisecond))
				if inTime && reader.Done() {
					t.Error("the deadline was taken away, and yet the read is over")
				}
				must(t, "SetReadDeadline", b.SetReadDeadline(time.Now().Add(time.Hour)))
				must(t, "Yield", task.Yield())
				must(t, "SetReadDeadline", b.SetReadDeadline(now.Add(first+20*time.Millisecond)))
				when(t, task, "the read is over", reader.Done)
				if !inTime {
					continue
				}
				if took < first+20*time.Millisecond {
					t.Errorf("Next took %v", took)
				}
				break
			}

			// One set to the past ends it at once.
			must(t, "SetReadDeadline", b.SetReadDeadline(time.Time{}))
			now := time.Now()
			reader := task.Go(func(Task) error {
				_, err := b.Next()
				wantTimeout(t, "Next", err, "read")
				return nil
			})
			must(t, "Yield", task.Yield())
			must(t, "SetReadDeadline", b.SetReadDeadline(now))
			when(t, task, "the read is over", reader.Done)

			// One that comes and goes before the reader runs is none.
			must(t, "SetReadDeadline", b.SetReadDeadline(time.Time{}))
			reader = task.Go(func(Task) error {
				_, err := b.Next()
				must(t, "Next", err)
				return nil
			})
			must(t, "Yield", task.Yield())
			must(t, "SetReadDeadline", b.SetReadDeadline(now))
			must(t, "SetReadDeadline", b.SetReadDeadline(time.Time{}))
			must(t, "Sleep", task.Sleep(time.Millisecond))
			a.Write([]byte("x"))
			when(t, task, "the read is over", reader.Done)
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// The deadlines of reading and writing are apart.
func TestDeadlinesAreApart(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			past := time.Now().Add(-time.Second)
			must(t, "SetReadDeadline", a.SetReadDeadline(past))
			if _, err := a.Write([]byte("x")); err != nil {
				t.Errorf("Write: %v", err)
			}
			must(t, "Flush", a.Flush())
			must(t, "SetWriteDeadline", b.SetWriteDeadline(past))
			if _, err := b.Next(); err != nil {
				t.Errorf("Next: %v", err)
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// A write ends at its deadline, and tells how much was sent; later writes go on exactly there. What was written before
// is sent all the same.
func TestWriteDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pairOf(t, task, full, "127.0.0.1:0")
			want := pattern(8 << 20)
			began := time.Now()
			must(t, "SetWriteDeadline", a.SetWriteDeadline(began.Add(50*time.Millisecond)))
			sent, err := a.Write(want)
			wantTimeout(t, "Write", err, "write")
			if took := time.Since(began); sent <= 0 || sent >= len(want) || took < 50*time.Millisecond {
				t.Errorf("Write has sent %d bytes in %v", sent, took)
			}
			small := 0
			must(t, "SetWriteDeadline", a.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
			for {
				n, err := a.Write(want[sent : sent+8000])
				sent += n
				if err != nil {
					wantTimeout(t, "small Write", err, "write")
					break
				}
				small++
			}
			if small == 0 || n(a) == 0 {
				t.Errorf("%d small writes were taken, and %d bytes wait", small, n(a))
			}
			wantTimeout(t, "Flush", a.Flush(), "write")
			must(t, "SetWriteDeadline", a.SetWriteDeadline(time.Time{}))
			task.Go(func(Task) error {
				if n, err := a.Write(want[sent:]); n != len(want)-sent || err != nil {
					t.Errorf("the rest: %d of %d, %v", n, len(want)-sent, err)
				}
				return a.Close()
			})
			readAll(t, b, want)
		})
	})
}

// n is how much was written and not sent.
func n(c Conn) int {
	if c.c.out == nil {
		return 0
	}
	return c.c.gathered() + len(c.c.out.flight)
}

// readAll reads to the end, checks that it was what is wanted, and closes.
func readAll(t testing.TB, c Conn, want []byte) {
	t.Helper()
	var got []byte
	for {
		data, err := c.Next()
		if err != nil {
			break
		}
		got = append(got, data...)
	}
	same(t, "the stream", got, want)
	must(t, "Close", c.Close())
}
