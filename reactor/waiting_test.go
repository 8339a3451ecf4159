package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/eyewall/eyewall/event"
)

// Many tasks that write to one slow peer cost a bounded number of switches each, and their bytes go out in the order in
// which they came.
func TestManyWriters(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			const writers, size = 2000, 4 << 10
			ended := 0
			for i := range writers {
				task.Go(func(Task) error {
					p := make([]byte, size)
					for at := range p {
						p[at] = byte(i)
					}
					_, err := c.Write(p)
					must(t, "Write", err)
					ended++
					return nil
				})
			}
			must(t, "Yield", task.Yield())
			before := task.Loop().Stats().Switches
			off(t, task, func() {
				got := make([]byte, size)
				for i := range writers {
					_, err := io.ReadFull(peer, got)
					must(t, "the peer's Read", err)
					if got[0] != byte(i) || got[size-1] != byte(i) {
						t.Errorf("the piece in place %d is of writer %d to %d, modulo 256", i, got[0], got[size-1])
						return
					}
				}
			})
			when(t, task, "all have written", func() bool { return ended == writers })
			must(t, "Flush", c.Flush())
			if n := task.Loop().Stats().Switches - before; n > 4*writers {
				t.Errorf("%d switches to tasks, for %d that write", n, writers)
			}
			c.Close()
		})
	})
}

// Connections go to the tasks that wait for one in the order in which they came, and wake no others.
func TestManyAcceptors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			const acceptors, conns = 1000, 100
			var got []int // by whom
			for i := range acceptors {
				task.Go(func(Task) error {
					c, err := ln.AcceptConn()
					if err != nil {
						wantErr(t, "AcceptConn", err, ErrClosed)
						return nil
					}
					got = append(got, i)
					return c.Close()
				})
			}
			must(t, "Yield", task.Yield())
			before := task.Loop().Stats().Switches
			waits := uint64(0) // of this task
			for range conns {
				peer, err := net.Dial("tcp", ln.Addr().String())
				must(t, "Dial", err)
				defer peer.Close()
			}
			for len(got) < conns {
				must(t, "Sleep", task.Sleep(time.Millisecond))
				waits++
			}
			if n := task.Loop().Stats().Switches - before - waits; n > 4*conns {
				t.Errorf("%d switches to tasks, for %d connections", n, conns)
			}
			for i, by := range got {
				if by != i {
					t.Errorf("connection %d went to the task that came as number %d", i, by)
				}
			}
			must(t, "Close", ln.Close())
		})
	})
}

// Tasks that accept again and again get as many connections each.
func TestAcceptorsShare(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			const acceptors, conns = 4, 200
			var got [acceptors]int
			all := 0
			for i := range acceptors {
				task.Go(func(Task) error {
					for {
						c, err := ln.AcceptConn()
						if err != nil {
							return nil
						}
						got[i]++
						all++
						c.Close()
					}
				})
			}
			off(t, task, func() {
				for range conns {
					peer, err := net.Dial("tcp", ln.Addr().String())
					must(t, "Dial", err)
					peer.Close()
				}
			})
			when(t, task, "all are accepted", func() bool { return all == conns })
			for i, n := range got {
				if n < conns/acceptors/2 {
					t.Errorf("of %d connections acceptor %d of %d got %d", conns, i, acceptors, n)
				}
			}
			must(t, "Close", ln.Close())
		})
	})
}

// A listener that pauses, since many connections wait for Accept, goes on if these are all taken before the pause
// begins.
func TestAcceptGoesOnAfterPause(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			dial := func() {
				peer, err := net.Dial("tcp", ln.Addr().String())
				must(t, "Dial", err)
				t.Cleanup(func() { peer.Close() })
			}
			accept := func() {
				c, err := ln.AcceptConn()
				must(t, "AcceptConn", err)
				c.Close()
			}
			dial()
			accept() // and from now on the listener accepts by itself
			for n := range maxPending {
				dial()
				for ln.pending.n <= n {
					must(t, "Yield", task.Yield())
				}
			}
			if !ln.pausing {
				t.Error("the listener does not pause")
			}
			for ln.pending.n > 0 { // within the turn in which the pause was asked for
				accept()
			}
			dialed := task.Go(func(task Task) error {
				must(t, "Sleep", task.Sleep(10*time.Millisecond)) // until the pause has begun, and Accept waits
				dial()
				return nil
			})
			accept()
			when(t, task, "it has dialed", dialed.Done)
			must(t, "Close", ln.Close())
		})
	})
}

// A reader that is canceled just when it was woken to receive anew leaves that to the next one.
func TestCanceledReaderPassesOn(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			read := func(want error) Task {
				reader := task.Go(func(Task) error {
					_, err := b.Read(make([]byte, 1))
					wantErr(t, "Read", err, want)
					return nil
				})
				must(t, "Yield", task.Yield())
				return reader
			}
			first, second := read(ErrCanceled), read(nil)
			for b.c.pause(); b.c.pausing; {
				must(t, "Yield", task.Yield())
			}
			first.Cancel()
			when(t, task, "the first has ended", first.Done)
			_, err := a.Write([]byte("x"))
			must(t, "Write", errors.Join(err, a.Flush()))
			when(t, task, "the second has read", second.Done)
			a.Close()
			b.Close()
		})
	})
}

// Tasks that read one connection get its input in the order in which they came.
func TestManyReaders(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			const readers = 500
			var order []int
			for i := range readers {
				task.Go(func(Task) error {
					p := make([]byte, 1)
					_, err := b.Read(p)
					if i < readers-10 {
						must(t, "Read", err)
					} else if err != io.EOF { // there is a byte for each of the others
						t.Errorf("Read at the end: %v", err)
					}
					order = append(order, i)
					return nil
				})
			}
			must(t, "Yield", task.Yield())
			before := task.Loop().Stats().Switches
			for i := range readers - 10 {
				_, err := a.Write([]byte{1})
				must(t, "Write", errors.Join(err, a.Flush()))
				when(t, task, "the next one has read", func() bool { return len(order) > i })
			}
			must(t, "CloseWrite", a.CloseWrite())
			when(t, task, "all have read", func() bool { return len(order) == readers })
			for at, i := range order[:readers-10] {
				if at != i {
					t.Errorf("in place %d the reader that came as number %d has read", at, i)
				}
			}
			if n := task.Loop().Stats().Switches - before; n > 20*readers {
				t.Errorf("%d switches to tasks, for %d that read", n, readers)
			}
			a.Close()
			b.Close()
		})
	})
}

// A task that waits for the bytes written before it does not wait for those that another one goes on to write.
func TestNoWriterStarves(t *testing.T) {
	for what, wait := range map[string]func(c Conn) error{
		"large Write": func(c Conn) error { _, err := c.Write(pattern(3 * directSize)); return err },
		"Flush":       Conn.Flush,
		"CloseWrite":  Conn.CloseWrite,
	} {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					c, peer := peered(t, task, full, "127.0.0.1:0")
					ended := make(chan error, 1)
					go func() {
						_, err := io.Copy(io.Discard, peer)
						ended <- err
					}()
					over := false
					task.Go(func(task Task) error {
						small := pattern(256)
						for !over { // without end, unless the other gets on
							if _, err := c.Write(small); err != nil {
								if what != "CloseWrite" {
									t.Errorf("Write beside it: %v", err)
								}
								return nil
							}
							must(t, "Yield", task.Yield())
						}
						return nil
					})
					for range 10 {
						_, err := c.Write(pattern(directSize - 1))
						must(t, "Write", err)
					}
					must(t, what, wait(c))
					over = true
					must(t, "Close", c.Close())
					off(t, task, func() { must(t, "the peer's Read", <-ended) })
				})
			})
		})
	}
}

// What waits to be called takes memory for the connections that there are, and not for each call.
func TestHandlerCallsTakeNoMemory(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const conns, rounds = 3, 20_000
		places := make(chan int, 1)
		calls := 0
		s := start(t, name, Handle, func(c Conn) error {
			var p [1]byte // so that it is due again at once
			if _, err := c.Read(p[:]); err != nil {
				return err
			}
			if calls++; calls == conns*rounds {
				places <- len(c.c.loop.calls.buf)
			}
			return nil
		})
		for range conns {
			_, err := s.dial(t).Write(pattern(rounds))
			must(t, "Write", err)
		}
		if n := <-places; n > 8*conns {
			t.Errorf("the queue has %d places, for %d connections", n, conns)
		}
		must(t, "Handle", s.stop(t))
	})
}

// A call that fails at once, again and again, holds up neither the other tasks nor the end of Run.
func TestFailingAtOnceHoldsUpNobody(t *testing.T) {
	type setUp = func(t *testing.T, task Task) (again func() error)
	ways := map[string]setUp{
		"Read at the end": func(t *testing.T, task Task) func() error {
			a, b := pair(t, task)
			must(t, "CloseWrite", a.CloseWrite())
			return func() error { _, err := b.Read(make([]byte, 1)); return err }
		},
		"Next after its deadline": func(t *testing.T, task Task) func() error {
			a, _ := pair(t, task)
			a.SetReadDeadline(time.Now().Add(-1))
			return func() error { _, err := a.Next(); return err }
		},
		"Next of a closed connection": func(t *testing.T, task Task) func() error {
			a, _ := pair(t, task)
			a.Close()
			return func() error { _, err := a.Next(); return err }
		},
		"Write after its deadline": func(t *testing.T, task Task) func() error {
			a, _ := pair(t, task)
			a.SetWriteDeadline(time.Now().Add(-1))
			return func() error { _, err := a.Write([]byte("x")); return err }
		},
		"Flush after its deadline": func(t *testing.T, task Task) func() error {
			a, _ := pair(t, task)
			a.SetWriteDeadline(time.Now().Add(-1))
			return func() error { return a.Flush() }
		},
		"Accept of a closed listener": func(t *testing.T, task Task) func() error {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", errors.Join(err, ln.Close()))
			return func() error { _, err := ln.Accept(); return err }
		},
		"Accept after its deadline": func(t *testing.T, task Task) func() error {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", errors.Join(err, ln.SetDeadline(time.Now().Add(-1))))
			return func() error { _, err := ln.Accept(); return err }
		},
		"Get of a closed Queue": func(t *testing.T, task Task) func() error {
			q := NewQueue[int](1)
			q.Close()
			return func() error { _, err := q.Get(task); return err }
		},
		"Acquire of too much": func(t *testing.T, task Task) func() error {
			s := NewSemaphore(1)
			return func() error { return s.Acquire(task, 2) }
		},
		"Dial without an address": func(t *testing.T, task Task) func() error {
			return func() error { _, err := Dial(task, "tcp", ""); return err }
		},
		"an event that fails": func(t *testing.T, task Task) func() error {
			return func() error { return task.Await(&signalOfNothing) }
		},
	}
	for what, set := range ways {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				ctx, cancel := context.WithCancelCause(context.Background())
				l := testLoop(t, name)
				others := 0
				must(t, "Go", l.Go(func(task Task) error {
					again := set(t, task)
					task.Go(func(task Task) error {
						for range 3 {
							must(t, "Yield", task.Yield())
							others++
						}
						cancel(errCause)
						return nil
					})
					for {
						if again() == nil {
							t.Error("it did not fail")
							return nil
						}
					}
				}))
				wantErr(t, "Run", runUntil(t, l, ctx), errCause)
				if others != 3 {
					t.Errorf("another task has run %d times", others)
				}
			})
		})
	}
}

// Children are told apart by their functions, however many there are.
func TestNamesOfManyChildren(t *testing.T) {
	run(t, "select", func(task Task) {
		const children = 20_000
		must(t, "Together", task.Together(func(g *TaskGroup) error {
			for range children {
				g.Go(waitsToBeCanceled)
			}
			must(t, "Yield", task.Yield())
			named := 0
			for _, i := range task.Loop().Dump() {
				if i.Name == "reactor.waitsToBeCanceled" {
					named++
				}
			}
			if named != children {
				t.Errorf("%d of %d children are named by their function", named, children)
			}
			g.Cancel()
			return nil
		}))
	}, WithDebug(Debug{Hold: -1, Report: func(r DebugReport) { t.Error(fmt.Sprint(r)) }}))
}

func waitsToBeCanceled(t Task) error { return t.Sleep(time.Hour) }

var signalOfNothing event.Signal
