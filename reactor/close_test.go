package reactor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wantOpError checks that err is a *net.OpError of that operation which wraps want.
func wantOpError(t testing.TB, what string, err error, op string, want error) {
	t.Helper()
	var e *net.OpError
	if !errors.As(err, &e) || e.Op != op || !errors.Is(err, want) {
		t.Errorf("%s: got error %#v, want a *net.OpError of %s that wraps %v", what, err, op, want)
	}
}

// What was written is sent before the connection is closed.
func TestCloseSendsWhatWasWritten(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, size := range []int{0, 1, 10_000, corkLimit} {
			run(t, name, func(task Task) {
				c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
				want := pattern(size)
				for rest := want; len(rest) > 0; rest = rest[min(len(rest), 1000):] {
					if _, err := c.Write(rest[:min(len(rest), 1000)]); err != nil {
						t.Errorf("Write: %v", err)
					}
				}
				must(t, "Close", c.Close())
				off(t, task, func() {
					got, err := io.ReadAll(peer)
					if err != nil {
						t.Errorf("the peer: %v", err)
					}
					same(t, "what the peer got", got, want)
				})
			})
		}
	})
}

// fill writes to a connection whose peer does not read, until it would have to wait.
func fill(t testing.TB, task Task, c Conn) (written int) {
	t.Helper()
	filler := task.Go(func(Task) error {
		for {
			n, err := c.Write(make([]byte, 8000))
			if written += n; err != nil {
				return nil
			}
		}
	})
	before, stands := 0, 0
	when(t, task, "the connection is full", func() bool {
		if stands++; written != before || written == 0 {
			before, stands = written, 0
		}
		must(t, "Sleep", task.Sleep(2*time.Millisecond))
		return stands == 30 // longer than the peer's system delays an acknowledgment, which may make room
	})
	filler.Cancel()
	when(t, task, "the writer has ended", filler.Done)
	return written
}

// full is how connections are made that are full soon.
var full = ListenConfig{SendBuffer: 32 << 10, ReadBuffer: 32 << 10}

// Close waits for a peer that takes its time, and then returns nil.
func TestCloseWaitsForThePeer(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			written := fill(t, task, c)
			var got int64
			var reads atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(5 * time.Millisecond)
				reads.Store(true)
				got, _ = io.Copy(io.Discard, peer)
			}()
			must(t, "Close", c.Close())
			if !reads.Load() {
				t.Error("Close has returned, and the peer did not read yet")
			}
			off(t, task, func() { <-done })
			if int(got) != written {
				t.Errorf("the peer got %d of %d bytes", got, written)
			}
		})
	})
}

// But not for longer than the linger time; then it says that not all was sent.
func TestLingerIsBounded(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const linger = 10 * time.Millisecond
		run(t, name, func(task Task) {
			c, _ := peered(t, task, full, "127.0.0.1:0")
			fill(t, task, c)
			fd := c.FD()
			began := time.Now()
			wantOpError(t, "Close", c.Close(), "close", ErrDeadline)
			if took := time.Since(began); took < linger {
				t.Errorf("Close took %v, less than the linger time", took)
			}
			when(t, task, "the descriptor is closed", func() bool {
				_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
				return err == unix.EBADF
			})
		}, WithLinger(linger))
	})
}

// A task that is canceled does not wait in Close, nor does a posted function; what was written is sent all the same.
func TestCloseThatDoesNotWait(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, canceled := range []bool{false, true} {
			run(t, name, func(task Task) {
				c, peer := peered(t, task, full, "127.0.0.1:0")
				written := fill(t, task, c)
				if canceled {
					closer := task.Go(func(task Task) error {
						task.Cancel()
						must(t, "Close by a canceled task", c.Close())
						return nil
					})
					when(t, task, "it has ended", closer.Done)
				} else {
					closed := false
					must(t, "Post", task.Loop().Post(func() {
						must(t, "Close by a posted function", c.Close())
						closed = true
					}))
					when(t, task, "it was called", func() bool { return closed })
				}
				off(t, task, func() {
					if got, err := io.Copy(io.Discard, peer); int(got) != written || err != nil {
						t.Errorf("the peer got %d of %d bytes, %v", got, written, err)
					}
				})
			})
		}
	})
}

// Whoever waits for a connection that is closed gets ErrClosed, and so does every later call.
func TestCloseWakesOthers(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			fill(t, task, c)
			calls := []struct {
				op   string
				call func() error
			}{
				{"read", func() error { _, err := c.Next(); return err }},
				{"read", func() error { _, err := c.Read(make([]byte, 10)); return err }},
				{"write", func() error { _, err := c.Write(make([]byte, 10_000)); return err }},
				{"write", func() error { _, err := c.Write(make([]byte, 100_000)); return err }},
				{"write", func() error { _, err := c.Writev([][]byte{make([]byte, 10_000)}); return err }},
				{"write", c.Flush},
				{"close", c.CloseWrite},
			}
			woken := 0
			for i, c := range calls {
				task.Go(func(Task) error {
					wantOpError(t, fmt.Sprintf("call %d", i), c.call(), c.op, ErrClosed)
					woken++
					return nil
				})
			}
			must(t, "Sleep", task.Sleep(2*time.Millisecond))
			if woken != 0 {
				t.Errorf("%d calls did not wait", woken)
			}
			go io.Copy(io.Discard, peer)
			must(t, "Close", c.Close())
			when(t, task, "all are woken", func() bool { return woken == len(calls) })
			for i, c := range calls {
				wantOpError(t, fmt.Sprintf("call %d, later", i), c.call(), c.op, ErrClosed)
			}
			wantOpError(t, "Close, later", c.Close(), "close", ErrClosed)
			wantOpError(t, "SetDeadline, later", c.SetDeadline(time.Now()), "set", ErrClosed)
			wantOpError(t, "SetNoDelay, later", c.SetNoDelay(true), "set", ErrClosed)
			if c.FD() != -1 {
				t.Errorf("FD is %d, later", c.FD())
			}
		})
	})
}

// A large write that is under way is cut short, and tells how much it has sent. What was written behind it is
// dropped, for it would leave a hole before it; Close tells that.
func TestCloseDuringLargeWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, behind := range []bool{false, true} {
			run(t, name, func(task Task) {
				c, peer := peered(t, task, full, "127.0.0.1:0")
				large := pattern(4 << 20)
				sent := 0
				writer := task.Go(func(Task) error {
					var err error
					sent, err = c.Write(large)
					wantOpError(t, "Write", err, "write", ErrClosed)
					return nil
				})
				must(t, "Sleep", task.Sleep(2*time.Millisecond))
				var want error
				if behind {
					c.Write([]byte("behind"))
					want = ErrCanceled
				}
				began := time.Now()
				if err := c.Close(); !errors.Is(err, want) {
					t.Errorf("Close: %v, want %v", err, want)
				}
				when(t, task, "the writer has ended", writer.Done)
				if took := time.Since(began); took > defaultLinger/2 {
					t.Errorf("it took %v", took)
				}
				off(t, task, func() {
					got, err := io.ReadAll(peer)
					if behind { // and lost: the peer is told by a reset, which may cost it what it had not read
						wantErr(t, "the peer's Read", err, syscall.ECONNRESET)
						sent = min(sent, len(got))
					} else if err != nil {
						t.Errorf("the peer: %v", err)
					}
					same(t, "what the peer got", got, large[:sent])
				})
			})
		}
	})
}

// What sending meets is told by the next call that writes, and by Close; reading tells its own.
func TestFailedWriteIsReported(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, next := range []func(Conn) error{
				func(c Conn) error { _, err := c.Write([]byte("x")); return err },
				func(c Conn) error { _, err := c.Write(make([]byte, directSize)); return err },
				func(c Conn) error { _, err := c.Writev([][]byte{[]byte("x")}); return err },
				Conn.Flush,
				Conn.CloseWrite,
			} {
				c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
				peer.SetLinger(0)
				peer.Close() // a reset
				must(t, "Sleep", task.Sleep(time.Millisecond))
				if n, err := c.Write([]byte("lost")); n != 4 || err != nil {
					t.Errorf("the first Write: %d, %v; it only gathers", n, err)
				}
				when(t, task, "it was sent", func() bool { return !c.c.sending && c.c.gathered() == 0 })
				for range 2 {
					err := next(c)
					if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
						t.Errorf("the next call: %v", err)
					}
					wantOpError(t, "the next call", err, "write", errors.Unwrap(errors.Unwrap(err)))
				}
				err := c.Close()
				if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
					t.Errorf("Close: %v", err)
				}
			}
		})
	})
}

// Close itself reports what sending the rest meets.
func TestCloseReportsFailure(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			peer.SetLinger(0)
			peer.Close()
			must(t, "Sleep", task.Sleep(time.Millisecond))
			c.Write([]byte("lost"))
			err := c.Close()
			if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
				t.Errorf("Close: %v", err)
			}
		})
	})
}

// Everything that arrived before a reset, or the end of the stream, comes before it, and then it comes each time.
func TestEndComesAfterData(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			want := pattern(100_000)
			for _, wait := range []time.Duration{0, 3 * time.Millisecond} {
				c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
				if _, err := peer.Write(want); err != nil {
					t.Errorf("the peer: %v", err)
				}
				peer.Close()
				if wait > 0 {
					must(t, "Sleep", task.Sleep(wait))
				}
				var got []byte
				for {
					data, err := c.Next()
					if err != nil {
						break
					}
					got = append(got, data...)
				}
				same(t, "what came before the end", got, want)
				for range 3 {
					if _, err := c.Next(); err != io.EOF {
						t.Errorf("after the end: %v", err)
					}
					if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("after the end: %d, %v", n, err)
					}
				}
				must(t, "Close", c.Close())
			}
		})
	})
}

func TestReset(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			reader := task.Go(func(Task) error {
				for range 3 {
					_, err := c.Next()
					wantOpError(t, "Next", err, "read", unix.ECONNRESET)
				}
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			peer.SetLinger(0)
			peer.Close()
			when(t, task, "the reader knows", reader.Done)
			c.Close()
		})
	})
}

// A handler that returns, or a task that ends, with unread input leaves nothing lent.
func TestCloseWithUnreadInput(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			peer.Write(pattern(100_000))
			first := make([]byte, 10)
			if _, err := c.Read(first); err != nil {
				t.Errorf("Read: %v", err)
			}
			must(t, "Yield", task.Yield())
			must(t, "Close", c.Close())
			if n := outstanding(task.Loop()); n != 0 {
				t.Errorf("%d buffers are lent after Close", n)
			}
		})
	})
}

// Descriptors are closed as connections are, not only when the loop ends.
func TestCloseFreesDescriptors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			before := len(descriptors())
			for range 20 {
				a, b := pair(t, task)
				a.Write([]byte("x"))
				_, err := b.Next()
				must(t, "Next", err)
				must(t, "Close", a.Close())
				must(t, "Close", b.Close())
			}
			when(t, task, "all are closed", func() bool { return task.Loop().open == 0 })
			if now := len(descriptors()); now > before {
				t.Errorf("there were %d descriptors, and are %d", before, now)
			}
			if n := task.Loop().Stats().Conns; n != 0 {
				t.Errorf("Stats tells of %d connections", n)
			}
		})
	})
}
