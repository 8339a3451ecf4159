package reactor

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// relayed is a connection on each side of a loop's splicing, with their peers, which are package net's.
func relayed(t testing.TB, task Task, onward ListenConfig) (from, to Conn, source, sink *net.TCPConn) {
	t.Helper()
	from, source = peered(t, task, ListenConfig{}, "127.0.0.1:0")
	to, sink = peered(t, task, onward, "127.0.0.1:0")
	return from, to, source, sink
}

// sendAll writes data to a peer on a goroutine of its own, and then the end.
func sendAll(source *net.TCPConn, data []byte) {
	go func() {
		source.Write(data)
		source.CloseWrite()
	}()
}

// received waits for what comes on a channel.
func received[T any](t testing.TB, task Task, ch <-chan T) T {
	t.Helper()
	v, ok, err := Receive(task, ch)
	if !ok || err != nil {
		t.Fatalf("Receive: %v, %v", ok, err)
	}
	return v
}

// spliceAll sends on n bytes and then waits for more, in vain.
func spliceAll(t testing.TB, from, to Conn, n int) (moved int) {
	t.Helper()
	for moved < n {
		k, err := from.Splice(to)
		must(t, "Splice", err)
		moved += k
	}
	from.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := from.Splice(to)
	wantErr(t, "Splice", err, ErrDeadline)
	from.SetReadDeadline(time.Time{})
	return moved
}

// What is sent on in bulk goes through pipes where the backend has them, and all of it comes, in order, with the end.
func TestSpliceBulk(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			from, to, source, sink := relayed(t, task, ListenConfig{})
			want := pattern(16 << 20)
			sendAll(source, want)
			var got []byte
			done := make(chan error, 1)
			go func() {
				var err error
				got, err = io.ReadAll(sink)
				done <- err
			}()
			n, err := io.Copy(to, from)
			if int(n) != len(want) || err != nil {
				t.Errorf("Copy: %d, %v", n, err)
			}
			must(t, "CloseWrite", to.CloseWrite())
			must(t, "ReadAll", received(t, task, done))
			same(t, "what came", got, want)
			spy := spyOn(task.Loop())
			spy.counts(func() {
				if pipes := spy.asked[backend.Splice] > 0; pipes != spy.Caps().Pipes {
					t.Errorf("%d pieces were received in pipes; the backend has pipes: %v", spy.asked[backend.Splice], spy.Caps().Pipes)
				}
			})
			from.Close()
			to.Close()
		})
	})
}

// A splice that is cut short leaves what was not sent to be read: nothing is lost, nothing comes twice.
func TestSpliceCutShort(t *testing.T) {
	cuts := map[string]func(task Task, from, to Conn, try func() error) error{
		"write deadline": func(task Task, from, to Conn, try func() error) error {
			to.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
			return try()
		},
		"cancel": func(task Task, from, to Conn, try func() error) (err error) {
			child := task.Go(func(Task) error { err = try(); return nil })
			task.Sleep(5 * time.Millisecond)
			child.Cancel()
			when(t, task, "the child has ended", child.Done)
			return err
		},
		"closed": func(task Task, from, to Conn, try func() error) (err error) {
			child := task.Go(func(Task) error { err = try(); return nil })
			task.Sleep(5 * time.Millisecond)
			to.SetLinger(0)
			to.Close()
			when(t, task, "the child has ended", child.Done)
			return err
		},
	}
	wants := map[string]error{"write deadline": ErrDeadline, "cancel": ErrCanceled, "closed": ErrClosed}
	for what, cut := range cuts {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					from, to, source, sink := relayed(t, task, full)
					want := pattern(6 << 20)
					sendAll(source, want)
					moved := int64(0)
					err := cut(task, from, to, func() error {
						n, err := from.WriteTo(to)
						moved = n
						return err
					})
					wantErr(t, "WriteTo", err, wants[what])
					var rest []byte
					for {
						data, err := from.Next()
						if err != nil {
							wantErr(t, "Next", err, io.EOF)
							break
						}
						rest = append(rest, data...)
					}
					if what == "closed" { // how much of the last piece went out is nobody's to know
						if n := len(want) - len(rest); !slices.Equal(rest, want[n:]) || int64(n) < moved {
							t.Errorf("%d bytes were sent on, and %d are left of %d", moved, len(rest), len(want))
						}
						from.Close()
						return
					}
					same(t, "what is left", rest, want[moved:])
					to.SetWriteDeadline(time.Time{})
					task.Go(func(Task) error { return to.Close() })
					var got []byte
					off(t, task, func() { got, _ = io.ReadAll(sink) })
					same(t, "what was sent on", got, want[:moved])
					from.Close()
				})
			})
		})
	}
}

// A receive that waits to fill a pipe, when whoever wanted that is gone, serves any reader.
func TestSpliceThenRead(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			from, to, source, sink := relayed(t, task, ListenConfig{})
			go io.Copy(io.Discard, sink)
			bulk := pattern(4 << 20)
			source.Write(bulk[:1<<20])
			total := 0
			for round := range 4 {
				off(t, task, func() {
					if round > 0 {
						source.Write(bulk[:1<<20])
					}
				})
				total += spliceAll(t, from, to, 1<<20)
				message := []byte("a message that somebody reads")
				source.Write(message)
				var got []byte
				buf := make([]byte, 7)
				for len(got) < len(message) {
					if round%2 == 0 {
						data, err := from.Next()
						must(t, "Next", err)
						got = append(got, data...)
					} else {
						n, err := from.Read(buf)
						must(t, "Read", err)
						got = append(got, buf[:n]...)
					}
				}
				same(t, "what was read", got, message)
			}
			if total != 4<<20 {
				t.Errorf("%d bytes were sent on, want %d", total, 4<<20)
			}
			from.Close()
			to.Close()
		})
	})
}

// What is left unread in a pipe for long is moved to memory, as what is in a receive buffer is.
func TestSplicedUnread(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			from, to, source, sink := relayed(t, task, ListenConfig{})
			go io.Copy(io.Discard, sink)
			spy := spyOn(task.Loop())
			off(t, task, func() { source.Write(pattern(1 << 20)) })
			spliceAll(t, from, to, 1<<20)
			source.Write([]byte("unread"))
			when(t, task, "nothing is lent", func() bool {
				lent := 0
				spy.counts(func() { lent = len(spy.lent) })
				return lent == 0 && from.c.in != nil || !spy.Caps().Pipes
			})
			buf := make([]byte, 6)
			if n, err := io.ReadFull(from, buf); n != 6 || err != nil || string(buf) != "unread" {
				t.Errorf("ReadFull: %d, %v, %q", n, err, buf)
			}
			from.Close()
			to.Close()
		})
	})
}

// io.CopyN between two connections sends on as many bytes as it says, and leaves the rest.
func TestSpliceLimited(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			from, to, source, sink := relayed(t, task, ListenConfig{})
			want := pattern(4 << 20)
			sendAll(source, want)
			var got []byte
			at := 0
			for _, n := range []int{1, 0, 10, 100_000, 1_000_000, 3, 2_000_000} {
				done := make(chan []byte, 1)
				go func() {
					p := make([]byte, n)
					io.ReadFull(sink, p)
					done <- p
				}()
				if moved, err := io.CopyN(to, from, int64(n)); moved != int64(n) || err != nil {
					t.Fatalf("CopyN of %d: %d, %v", n, moved, err)
				}
				must(t, "Flush", to.Flush())
				got = append(got, received(t, task, done)...)
				at += n
			}
			same(t, "what was sent on", got, want[:at])
			limited := &io.LimitedReader{R: from, N: 1 << 30}
			go io.Copy(io.Discard, sink)
			n, err := to.ReadFrom(limited)
			if int(n) != len(want)-at || err != nil || limited.N != 1<<30-n {
				t.Errorf("ReadFrom of the rest: %d, %v, %d left to the limit; want %d", n, err, limited.N, len(want)-at)
			}
			if n, err := io.CopyN(to, from, 1); n != 0 || err != io.EOF {
				t.Errorf("CopyN after the end: %d, %v", n, err)
			}
			from.Close()
			to.Close()
		})
	})
}

// Errors name the connection and the direction in which they were met.
func TestSpliceErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			from, to, source, _ := relayed(t, task, ListenConfig{})
			source.Write([]byte("some"))
			to.Close()
			n, err := from.Splice(to)
			if n != 0 {
				t.Errorf("%d bytes went to a closed connection", n)
			}
			wantOpError(t, "Splice to a closed connection", err, "write", ErrClosed)
			n, err = from.Splice(Conn{})
			if n != 0 {
				t.Errorf("%d bytes went to no connection", n)
			}
			wantOpError(t, "Splice to the zero Conn", err, "write", ErrClosed)
			data, err := from.Next()
			must(t, "Next", err)
			if string(data) != "some" {
				t.Errorf("what was not sent is %q", data)
			}
			from.Close()
			_, err = from.Splice(to)
			wantOpError(t, "Splice from a closed connection", err, "read", ErrClosed)
			_, err = Conn{}.Splice(to)
			wantOpError(t, "Splice from the zero Conn", err, "read", ErrClosed)
		})
	})
}

// Connections of different loops are refused, without a byte lost.
func TestSpliceOtherLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		theirs, done := make(chan Conn), make(chan struct{})
		other := testLoop(t, name)
		must(t, "Go", other.Go(func(task Task) error {
			c, _ := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			theirs <- c
			_, _, err := Receive(task, done)
			c.Close()
			return err
		}))
		ended := make(chan error, 1)
		go func() { ended <- other.Run(t.Context()) }()
		run(t, name, func(task Task) {
			from, source := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			to := <-theirs
			source.Write([]byte("some"))
			_, err := from.Splice(to)
			wantOpError(t, "Splice", err, "splice", errOtherLoop)
			_, err = io.Copy(to, from)
			wantOpError(t, "Copy", err, "splice", errOtherLoop)
			data, err := from.Next()
			must(t, "Next", err)
			same(t, "what is left", data, []byte("some"))
			from.Close()
		})
		close(done)
		must(t, "Run", <-ended)
	})
}

// Whatever the sizes, pauses, deadlines and kinds of reading are: each byte comes, once, in order.
func TestSpliceStorm(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for seed := range uint64(6) {
			run(t, name, func(task Task) {
				rng := rand.New(rand.NewPCG(seed, 5))
				onward, size := ListenConfig{}, 3<<20
				if seed%2 == 0 {
					onward, size = full, 300<<10
				}
				from, to, source, sink := relayed(t, task, onward)
				want := pattern(size)
				pace := rand.New(rand.NewPCG(seed, 6))
				go func() {
					for rest := want; len(rest) > 0; {
						n := min(1+pace.IntN(1<<uint(pace.IntN(19))), len(rest))
						source.Write(rest[:n])
						rest = rest[n:]
					}
					source.CloseWrite()
				}()
				done := make(chan []byte, 1)
				go func() {
					slow := rand.New(rand.NewPCG(seed, 7))
					var got []byte
					buf := make([]byte, 1<<17)
					for {
						n, err := sink.Read(buf[:1+slow.IntN(len(buf))])
						got = append(got, buf[:n]...)
						if err != nil {
							done <- got
							return
						}
						if slow.IntN(8) == 0 {
							time.Sleep(time.Duration(slow.IntN(2000)) * time.Microsecond)
						}
					}
				}()
				for over := false; !over; {
					if rng.IntN(3) == 0 {
						to.SetWriteDeadline(time.Now().Add(time.Duration(rng.IntN(1000)) * time.Microsecond))
					} else {
						to.SetWriteDeadline(time.Time{})
					}
					if rng.IntN(4) == 0 {
						from.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(500)) * time.Microsecond))
					} else {
						from.SetReadDeadline(time.Time{})
					}
					var err error
					switch rng.IntN(8) {
					case 0:
						var data []byte
						if data, err = from.Next(); err == nil {
							to.SetWriteDeadline(time.Time{})
							_, err = to.Write(slices.Clone(data))
						}
					case 1:
						buf := make([]byte, 1+rng.IntN(100_000))
						var n int
						if n, err = from.Read(buf); n > 0 {
							to.SetWriteDeadline(time.Time{})
							_, err = to.Write(buf[:n])
						}
					case 2:
						_, err = io.CopyN(to, from, 1+rng.Int64N(300_000))
					default:
						for err == nil && rng.IntN(6) > 0 {
							_, err = from.Splice(to)
						}
					}
					switch {
					case isEOF(err):
						over = true
					case err != nil:
						wantErr(t, "sending on", err, ErrDeadline)
					}
				}
				from.Close()
				to.SetWriteDeadline(time.Time{})
				must(t, "CloseWrite", to.CloseWrite())
				same(t, "what was sent on", received(t, task, done), want)
				to.Close()
			})
		}
	})
}

// A task that goes on splicing, whatever it is told, is ended when the loop is to end, and leaves nothing.
func TestSpliceStubbornly(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		ctx, cancel := context.WithCancel(t.Context())
		must(t, "Go", l.Go(func(task Task) error {
			from, to, source, _ := relayed(t, task, full)
			sendAll(source, pattern(8<<20))
			task.Go(func(task Task) error {
				task.Sleep(20 * time.Millisecond)
				cancel()
				return nil
			})
			for {
				from.Splice(to)
			}
		}))
		wantErr(t, "Run", l.Run(ctx), context.Canceled)
	})
}

// A loop whose backend breaks while a pipe is being sent from leaves the pipe to the backend's Close.
func TestSpliceBroken(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		wantErr(t, "Run", runLoop(t, l, func(task Task) error {
			from, to, source, sink := relayed(t, task, full)
			go source.Write(pattern(8 << 20)) // which ends when the test does
			go io.CopyN(io.Discard, sink, 1<<20)
			task.Go(func(Task) error {
				_, err := io.Copy(to, from)
				t.Errorf("Copy returns: %v", err)
				return nil
			})
			spy := spyOn(l)
			when(t, task, "a pipe is being sent from", func() (sending bool) {
				spy.counts(func() {
					for _, n := range spy.lent {
						sending = sending || n == 0 && to.c.out != nil && to.c.out.writer != nil
					}
				})
				return sending || !spy.Caps().Pipes && to.c.out != nil && to.c.out.writer != nil
			})
			spy.counts(func() { spy.pollErr = errFailed })
			return task.Sleep(time.Hour)
		}), errFailed)
	})
}
