package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/event"
)

// gatherUntilStuck writes small pieces until it would have to wait for the peer, and returns how many bytes that were.
func gatherUntilStuck(t testing.TB, c Conn) int {
	written := 0
	for {
		// Longer than the peer's system delays an acknowledgment, which may make room.
		c.SetWriteDeadline(time.Now().Add(60 * time.Millisecond))
		n, err := c.Write(pattern(8000))
		if written += n; err != nil {
			wantErr(t, "Write", err, ErrDeadline)
			c.SetWriteDeadline(time.Time{})
			return written
		}
	}
}

// Bytes that are not sent before the linger time is over are not lost in silence: the peer is told by a reset, and the
// server by an error.
func TestUnsentIsTold(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range map[string]serveFunc{"Serve": Serve, "Handle": Handle} {
			errs := make(chan error, 10)
			written := make(chan int, 1)
			s := startWith(t, name, full, serve, func(c Conn) error {
				if _, err := c.Next(); err != nil {
					return err
				}
				written <- gatherUntilStuck(t, c)
				return errEnough
			}, WithLinger(20*time.Millisecond), WithErrors(func(err error) {
				if !errors.Is(err, errEnough) {
					errs <- err
				}
			}))
			peer := s.dial(t)
			_, err := peer.Write([]byte("go"))
			must(t, "Write", err)
			sent := <-written
			var lost *UnsentError
			select {
			case err := <-errs:
				if !errors.As(err, &lost) || lost.Bytes <= 0 || !errors.Is(err, ErrDeadline) {
					t.Errorf("%s: the error is %v", form, err)
				}
			case <-time.After(limit):
				t.Fatalf("%s: nobody was told of the lost bytes", form)
			}
			got, err := io.ReadAll(peer)
			if !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("%s: the peer has read %d of %d bytes and then %v, want a reset", form, len(got), sent, err)
			}
			must(t, form, s.stop(t))
		}
	})
}

// Close that waits tells of it, and nobody is told twice.
func TestUnsentIsToldByClose(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			gatherUntilStuck(t, c)
			wantErr(t, "Close", c.Close(), ErrDeadline)
			off(t, task, func() {
				_, err := io.ReadAll(peer)
				wantErr(t, "the peer's Read", err, unix.ECONNRESET)
			})
		}, WithLinger(10*time.Millisecond), WithErrors(func(err error) { t.Errorf("WithErrors: %v", err) }))
	})
}

// What was written before a connection is shared is not lost in silence, either.
func TestUnsentOfSharedIsTold(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		errs := make(chan error, 10)
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			gatherUntilStuck(t, c)
			s := c.Shared()
			off(t, task, func() {
				s.SetWriteDeadline(time.Now().Add(time.Millisecond))
				n, err := s.Write([]byte("behind it"))
				if wantTimeout(t, "Write", err, "write"); n != 0 {
					t.Errorf("%d bytes were written before those that came first", n)
				}
				must(t, "Close", s.Close())
				select {
				case err := <-errs:
					if !errors.As(err, new(*UnsentError)) {
						t.Errorf("the error is %v", err)
					}
				case <-time.After(limit):
					t.Error("nobody was told of the lost bytes")
				}
				_, err = io.ReadAll(peer)
				wantErr(t, "the peer's Read", err, unix.ECONNRESET)
			})
		}, WithLinger(10*time.Millisecond), WithErrors(func(err error) { errs <- err }))
	})
}

// An error of sending those bytes is told to the user of the shared connection, or else to WithErrors.
func TestFailedSendOfSharedIsTold(t *testing.T) {
	for _, heard := range []bool{false, true} {
		eachBackend(t, func(t *testing.T, name string) {
			errs := make(chan error, 10)
			run(t, name, func(task Task) {
				c, _ := peered(t, task, ListenConfig{}, "127.0.0.1:0")
				spy := spyOn(task.Loop())
				spy.counts(func() { spy.sendErr = unix.ENOBUFS })
				_, err := c.Write([]byte("lost"))
				must(t, "Write", err)
				s := c.Shared()
				when(t, task, "the loop has seen the error", func() bool {
					h := s.handover.Load()
					h.mu.Lock()
					defer h.mu.Unlock()
					return h.writeErr != nil
				})
				if heard {
					_, err = s.Write([]byte("more"))
					wantOpError(t, "Write", err, "write", unix.ENOBUFS)
				}
				must(t, "Close", s.Close())
			}, WithErrors(func(err error) { errs <- err }))
			select {
			case err := <-errs:
				if heard {
					t.Error("it is told twice:", err)
				}
				wantErr(t, "WithErrors", err, unix.ENOBUFS)
			default:
				if !heard {
					t.Error("nobody was told of the lost bytes")
				}
			}
		})
	}
}

// Lent bytes that a task is sending stay lent until they are sent, though another task closes the connection, shares it or
// reads it.
func TestLoanLastsUntilSent(t *testing.T) {
	for what, end := range map[string]func(c Conn){
		"Close":   func(c Conn) { c.Close() },
		"Shared":  func(c Conn) { c.Shared().Close() },
		"Release": func(c Conn) { c.Release() },
	} {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					from, source := peered(t, task, ListenConfig{}, "127.0.0.1:0")
					to, _ := peered(t, task, full, "127.0.0.1:0")
					for { // until the kernel takes no more
						if _, err := unix.Write(to.FD(), pattern(8000)); err != nil {
							wantErr(t, "write", err, unix.EAGAIN)
							break
						}
					}
					off(t, task, func() {
						_, err := source.Write(pattern(2 * directSize))
						must(t, "the source's Write", err)
					})
					writer := task.Go(func(Task) error {
						data, err := from.Next()
						must(t, "Next", err)
						if len(data) < directSize {
							t.Errorf("%d bytes were lent, which is too little to be sent from where they are", len(data))
						}
						to.Write(data)
						return nil
					})
					when(t, task, "it sends", func() bool { return writer.Done() || to.c.out != nil && to.c.out.writer != nil })
					end(from)
					if n := task.Loop().Stats().Held; n != 1 {
						t.Errorf("%d buffers are held while the bytes of one are being sent", n)
					}
					writer.Cancel()
					when(t, task, "the writer has ended", writer.Done)
					if n := task.Loop().Stats().Held; n != 0 {
						t.Errorf("%d buffers are held afterwards", n)
					}
					from.Close()
					to.SetLinger(0)
					to.Close()
				}, WithLinger(0), WithErrors(func(error) {}))
			})
		})
	}
}

// Lent bytes that a task is to write, and that wait for others to be sent before them, stay lent, too.
func TestLoanLastsUntilWritten(t *testing.T) {
	for size, what := range map[int]string{100: "small", 2 * directSize: "large"} {
		for way, write := range map[string]func(to Conn, p []byte){
			"Write":  func(to Conn, p []byte) { to.Write(p) },
			"Writev": func(to Conn, p []byte) { to.Writev([][]byte{p}) },
		} {
			t.Run(what+"/"+way, func(t *testing.T) {
				eachBackend(t, func(t *testing.T, name string) {
					run(t, name, func(task Task) {
						from, source := peered(t, task, ListenConfig{}, "127.0.0.1:0")
						to, peer := peered(t, task, full, "127.0.0.1:0")
						gathered := gatherUntilStuck(t, to)
						for to.c.mayGather(size) {
							_, err := to.Write([]byte("x"))
							must(t, "Write", err)
							gathered++
						}
						sent := pattern(size)
						off(t, task, func() {
							_, err := source.Write(sent)
							must(t, "the source's Write", err)
						})
						when(t, task, "all has come", func() bool {
							from.c.receive(false)
							return from.c.unread() == size
						})
						var writers []Task
						for _, lent := range []bool{true, false} {
							writers = append(writers, task.Go(func(Task) error {
								data := sent
								if lent {
									data, _ = from.Next()
								}
								write(to, data)
								return nil
							}))
							must(t, "Yield", task.Yield())
						}
						from.Close()
						if n := task.Loop().Stats().Held; n != 1 {
							t.Errorf("%d buffers are held while the bytes of one are to be written", n)
						}
						off(t, task, func() {
							got := make([]byte, gathered+2*size)
							_, err := io.ReadFull(peer, got)
							must(t, "the peer's Read", err)
							same(t, "what was lent", got[gathered:][:size], sent)
							same(t, "what came after it", got[gathered+size:], sent)
						})
						for _, w := range writers {
							when(t, task, "the writer has ended", w.Done)
						}
						if n := task.Loop().Stats().Held; n != 0 {
							t.Errorf("%d buffers are held afterwards", n)
						}
						to.Close()
					}, WithDebug(Debug{Report: func(DebugReport) {}}))
				})
			})
		}
	}
}

// So do lent bytes that an event writes, or another task for the one that waits for it.
func TestLoanLastsWhileItsTakerWaits(t *testing.T) {
	for way, write := range map[string]func(t Task, to Conn, p []byte) error{
		"Await": func(t Task, to Conn, p []byte) error { return t.Await(&event.Write{FD: to.FD(), Buf: p}) },
		"AwaitFirst": func(t Task, to Conn, p []byte) error {
			_, err := t.AwaitFirst(&event.Write{FD: to.FD(), Buf: p}, &event.Sleep{For: time.Hour})
			return err
		},
		"Together": func(t Task, to Conn, p []byte) error {
			return t.Together(func(g *TaskGroup) error {
				g.Go(func(Task) error { _, err := to.Write(p); return err })
				return nil
			})
		},
		"Promise": func(t Task, to Conn, p []byte) error {
			var sent Promise[int]
			t.Go(func(Task) error { sent.Set(to.Write(p)); return nil })
			_, err := sent.Wait(t)
			return err
		},
	} {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					from, source := peered(t, task, ListenConfig{}, "127.0.0.1:0")
					to, peer := peered(t, task, full, "127.0.0.1:0")
					before := 0
					for { // until the kernel takes no more
						n, err := unix.Write(to.FD(), pattern(8000))
						if err != nil {
							wantErr(t, "write", err, unix.EAGAIN)
							break
						}
						before += n
					}
					sent := pattern(2 * directSize)
					off(t, task, func() {
						_, err := source.Write(sent)
						must(t, "the source's Write", err)
					})
					when(t, task, "all has come", func() bool {
						from.c.receive(false)
						return from.c.unread() == len(sent)
					})
					writer := task.Go(func(task Task) error {
						data, err := from.Next()
						must(t, "Next", err)
						must(t, "the write", write(task, to, data))
						return nil
					})
					for range 5 {
						must(t, "Yield", task.Yield())
					}
					from.Close()
					if n := task.Loop().Stats().Held; n != 1 {
						t.Errorf("%d buffers are held while the bytes of one are to be written", n)
					}
					off(t, task, func() {
						got := make([]byte, before+len(sent))
						_, err := io.ReadFull(peer, got)
						must(t, "the peer's Read", err)
						same(t, "what was lent", got[before:], sent)
					})
					when(t, task, "the writer has ended", writer.Done)
					if n := task.Loop().Stats().Held; n != 0 {
						t.Errorf("%d buffers are held afterwards", n)
					}
					to.Close()
				}, WithDebug(Debug{Report: func(DebugReport) {}}))
			})
		})
	}
}

// A loan that another task has ended is over when its taker reads the connection again, or ends, and not when it reads
// another one.
func TestLateLoanEnds(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, peerOfA := pair(t, task)
			b, peerOfB := pair(t, task)
			held := func(when string, want int) {
				t.Helper()
				if n := task.Loop().Stats().Held; n != want {
					t.Errorf("%s: %d buffers are held, want %d", when, n, want)
				}
			}
			for range 2 {
				peerOfB.Write([]byte("b"))
				must(t, "Flush", peerOfB.Flush())
				peerOfA.Write([]byte("a"))
				must(t, "Flush", peerOfA.Flush())
				var goOn Promise[bool]
				taker := task.Go(func(task Task) error {
					data, err := a.Next()
					must(t, "Next", err)
					goOn.Wait(task)
					_, err = b.Next()
					must(t, "Next of the other", err)
					held("after a read of the other", 2)
					same(t, "what was lent", data, []byte("a"))
					peerOfA.Write([]byte("more"))
					peerOfA.Flush()
					_, err = a.Next()
					must(t, "Next", err)
					held("after a read of the same", 2)
					return nil
				})
				when(t, task, "it waits", func() bool { return task.Loop().Stats().Held == 1 })
				must(t, "Yield", task.Yield())
				a.Release() // by another than the taker
				held("after Release by another task", 1)
				goOn.Set(true, nil)
				when(t, task, "it has ended", taker.Done)
				a.Release()
				b.Release()
				held("in the end", 0)
			}
			peerOfA.Write([]byte("a"))
			must(t, "Flush", peerOfA.Flush())
			taker := task.Go(func(task Task) error {
				_, err := a.Next()
				must(t, "Next", err)
				wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled)
				_, err = a.Next()
				wantErr(t, "Next of one that is closed", err, ErrClosed)
				held("after it", 0)
				return nil
			})
			when(t, task, "it waits", func() bool { return task.Loop().Stats().Held == 1 })
			must(t, "Yield", task.Yield())
			a.Close()
			held("after Close by another task", 1)
			taker.Cancel()
			when(t, task, "it has ended", taker.Done)
			for _, c := range []Conn{b, peerOfA, peerOfB} {
				c.Close()
			}
		})
	})
}

// An error of sending what was gathered ends the wait of a task that reads, after the input that is there.
func TestFailedSendEndsReading(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, input := range []string{"", "some input"} {
				c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
				spy := spyOn(task.Loop())
				spy.counts(func() { spy.sendErr = unix.ENOBUFS })
				if input != "" {
					_, err := peer.Write([]byte(input))
					must(t, "the peer's Write", err)
					when(t, task, "it has come", func() bool { c.c.receive(false); return c.c.in != nil })
				}
				_, err := c.Write([]byte("lost"))
				must(t, "Write", err)
				if input != "" {
					data, err := c.Next()
					if string(data) != input || err != nil {
						t.Errorf("Next: %q, %v", data, err)
					}
				}
				_, err = c.Next()
				wantErr(t, "Next", err, unix.ENOBUFS)
				_, err = c.Next()
				wantErr(t, "Next again", err, unix.ENOBUFS)
				wantErr(t, "Flush", c.Flush(), unix.ENOBUFS)
				spy.counts(func() { spy.sendErr = nil })
				wantErr(t, "Close", c.Close(), unix.ENOBUFS)
			}
		}, WithErrors(func(err error) { t.Errorf("WithErrors: %v", err) }))
	})
}

// So it does if the receive that is in flight is for one piece, which comes along with the error.
func TestFailedSendEndsReadingOfOnePiece(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			task.Loop().input.most = -1 // memory is short
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			spy := spyOn(task.Loop())
			spy.counts(func() { spy.sendErr = unix.ENOBUFS })
			_, err := peer.Write([]byte("input"))
			must(t, "the peer's Write", err)
			must(t, "Await", task.Await(&event.Poll{FD: c.FD(), Events: unix.POLLIN}))
			_, err = c.Write([]byte("lost"))
			must(t, "Write", err)
			c.c.push() // so that it fails before the receive has a result
			data, err := c.Next()
			if string(data) != "input" || err != nil {
				t.Errorf("Next: %q, %v", data, err)
			}
			_, err = c.Next()
			wantErr(t, "Next", err, unix.ENOBUFS)
			wantErr(t, "Close", c.Close(), unix.ENOBUFS)
		})
	})
}

// An error that the peer has caused leaves it to the receive to end, after all input: also if that has paused when
// sending fails.
func TestFailedSendLeavesInput(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			spy := spyOn(task.Loop())
			spy.counts(func() { spy.sendErr = unix.EPIPE })
			c.c.receive(false)
			must(t, "Yield", task.Yield())
			_, err := c.Write([]byte("lost"))
			must(t, "Write", err)
			c.c.push()
			c.c.pause()
			when(t, task, "both have ended", func() bool { return c.c.writeErr() != nil && !c.c.receiving })
			_, err = peer.Write([]byte("input"))
			must(t, "the peer's Write", err)
			data, err := c.Next()
			if string(data) != "input" || err != nil {
				t.Errorf("Next: %q, %v", data, err)
			}
			wantErr(t, "Close", c.Close(), unix.EPIPE)
		})
	})
}

// An error of sending what a handler has written in its last call is told, to the handler or to WithErrors.
func TestFailedSendAfterHandler(t *testing.T) {
	for _, last := range []error{nil, errEnough} {
		t.Run(fmt.Sprint(last), func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				errs := make(chan error, 10)
				s := start(t, name, Handle, func(c Conn) error {
					if _, err := c.Next(); err != nil {
						return err
					}
					spy := spyOn(c.c.loop)
					spy.counts(func() { spy.sendErr = unix.ENOBUFS })
					_, err := c.Write([]byte("lost"))
					return errors.Join(err, last)
				}, WithErrors(func(err error) {
					if !errors.Is(err, errEnough) {
						errs <- err
					}
				}))
				_, err := s.dial(t).Write([]byte("x"))
				must(t, "Write", err)
				select {
				case err := <-errs:
					wantErr(t, "WithErrors", err, unix.ENOBUFS)
				case <-time.After(limit):
					t.Error("nobody was told of the lost bytes")
				}
				must(t, "Handle", s.stop(t))
				if len(errs) > 0 {
					t.Errorf("it was told again: %v", <-errs)
				}
			})
		})
	}
}

// Without WithErrors the errors of connections are in the log, for who looks there.
func TestConnErrorsAreLogged(t *testing.T) {
	var log lockedBuffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(old)
	s := start(t, "select", Serve, func(c Conn) error { return errEnough })
	c := s.dial(t)
	if _, err := c.Read(make([]byte, 1)); !isEOF(err) {
		t.Errorf("Read: %v", err)
	}
	must(t, "Serve", s.stop(t))
	if !strings.Contains(log.String(), "level=DEBUG") || !strings.Contains(log.String(), errEnough.Error()) {
		t.Errorf("the log is %q", log.String())
	}
}

// Only io.EOF itself is the good end of a task or a connection.
func TestErrorThatWrapsEOF(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		wrapped := fmt.Errorf("cannot load the config: %w", io.EOF)
		for _, err := range []error{wrapped, errors.Join(io.EOF, errEnough)} {
			l := testLoop(t, name)
			if got := runLoop(t, l, func(Task) error { return err }); got != err {
				t.Errorf("Run: %v, want %v", got, err)
			}
			errs := make(chan error, 1)
			s := start(t, name, Serve, func(Conn) error { return err }, WithErrors(func(err error) { errs <- err }))
			s.dial(t)
			select {
			case got := <-errs:
				if got != err {
					t.Errorf("WithErrors: %v, want %v", got, err)
				}
			case <-time.After(limit):
				t.Error("WithErrors was not called")
			}
			must(t, "Serve", s.stop(t))
		}
		must(t, "Run", runLoop(t, testLoop(t, name), func(Task) error { return io.EOF }))
	})
}

var errEnough = errors.New("enough")

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startWith is start with small buffers of the kernel's.
func startWith(t testing.TB, name string, cfg ListenConfig, serve serveFunc, handle func(Conn) error, opts ...Option) *served {
	return start(t, name, serve, func(c Conn) error {
		c.SetWriteBuffer(cfg.SendBuffer)
		return handle(c)
	}, opts...)
}
