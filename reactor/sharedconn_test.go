package reactor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sharedPair is two connections of the loop, one of them shared.
func sharedPair(t testing.TB, task Task) (*SharedConn, Conn) {
	t.Helper()
	a, b := pair(t, task)
	return a.Shared(), b
}

// sharedListener is a shared listener of the loop.
func sharedListener(t testing.TB, task Task) *SharedListener {
	t.Helper()
	ln, err := Listen(task, "tcp", "127.0.0.1:0")
	must(t, "Listen", err)
	return ln.Shared()
}

// What was written is received in order, whatever the sizes, also when the connection is closed at once; and the end
// of the stream comes after it.
func TestSharedConn(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			sent := pattern(1 << 20)
			s, c := sharedPair(t, task)
			for _, size := range []int{1000, 30_000, 200_000} {
				s, c := sharedPair(t, task)
				go func() {
					for rest := sent; len(rest) > 0; {
						n, err := s.Write(rest[:min(size, len(rest))])
						if err != nil {
							t.Errorf("Write: %v", err)
						}
						rest = rest[n:]
					}
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}()
				readAll(t, c, sent)
			}
			var got []byte
			off(t, task, func() {
				done := make(chan bool)
				go func() {
					got, _ = io.ReadAll(s)
					close(done)
				}()
				task.Loop().Post(func() {
					task.Loop().spawn(func(Task) error {
						c.Write(sent)
						return c.Close()
					})
				})
				<-done
				if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("Read at the end: %d, %v", n, err)
				}
				s.Close()
			})
			same(t, "the stream", got, sent)
		})
	})
}

// Half of the connection may be closed: the other half goes on.
func TestSharedCloseWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, size := range []int{0, 10, 300_000} {
				s, c := sharedPair(t, task)
				sent := pattern(size)
				written := make(chan bool)
				go func() {
					defer close(written)
					s.Write(sent)
					if err := s.CloseWrite(); err != nil {
						t.Errorf("CloseWrite: %v", err)
					}
					if _, err := s.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
						t.Errorf("Write after CloseWrite: %v", err)
					}
				}()
				var got []byte
				for {
					data, err := c.Next()
					if err == io.EOF {
						break
					}
					must(t, "Next", err)
					got = append(got, data...)
				}
				same(t, "the stream", got, sent)
				c.Write([]byte("answer"))
				must(t, "Close", c.Close())
				off(t, task, func() {
					if answer, err := io.ReadAll(s); string(answer) != "answer" || err != nil {
						t.Errorf("the answer is %q, %v", answer, err)
					}
					<-written
					s.Close()
				})
			}
		})
	})
}

// The handle that was shared is closed by that, and neither its handler's end nor its tasks end the connection.
func TestSharedTakesOver(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, form := range []struct {
			name  string
			serve serveFunc
		}{{"Serve", Serve}, {"Handle", Handle}} {
			t.Run(form.name, func(t *testing.T) {
				var wg sync.WaitGroup
				s := start(t, name, form.serve, func(c Conn) error {
					data, err := c.Next()
					if err != nil {
						return err
					}
					waiting := c.Task().Go(func(Task) error {
						_, err := c.Next()
						wantOpError(t, "Next of another task", err, "read", ErrClosed)
						return nil
					})
					echoed := bytes.Clone(data)
					must(t, "Yield", c.Task().Yield())
					c.Write(echoed) // which goes out all the same
					remote := c.RemoteAddr().String()
					shared := c.Shared()
					if c.FD() >= 0 {
						t.Error("the handle is still open")
					}
					wantOpError(t, "Close", c.Close(), "close", ErrClosed)
					wg.Go(func() {
						if got := shared.RemoteAddr().String(); got != remote {
							t.Errorf("RemoteAddr is %v, and was %v", got, remote)
						}
						io.Copy(onlyWriter{shared}, onlyReader{shared})
						shared.Close()
					})
					when(t, c.Task(), "the other task has ended", waiting.Done)
					return errors.New("the handler's end")
				}, WithErrors(func(error) {}))
				c := s.dial(t)
				for range 10 {
					if got := ask(t, c, "hello"); got != "hello" {
						t.Fatalf("the answer is %q", got)
					}
				}
				c.Close()
				wg.Wait()
				must(t, "Serve", s.stop(t))
			})
		}
	})
}

// What a connection has received before it is shared is read by who shares it, and its deadlines are over.
func TestSharedKeepsInput(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			a.Write([]byte("before"))
			must(t, "Flush", a.Flush())
			b.SetDeadline(time.Now().Add(time.Millisecond))
			buf := make([]byte, 1)
			_, err := b.Read(buf)
			must(t, "Read", err)
			must(t, "Sleep", task.Sleep(5*time.Millisecond)) // the deadline passes
			s := b.Shared()
			a.Write([]byte(" after"))
			must(t, "Close", a.Close())
			off(t, task, func() {
				if got, err := io.ReadAll(s); string(got) != "efore after" || err != nil {
					t.Errorf("it reads %q, %v", got, err)
				}
				s.Close()
			})
		})
	})
}

// A peer that does not read holds up who writes, and one that is not read from is held up; nothing grows without bound.
func TestSharedBackpressure(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pairOf(t, task, full, "127.0.0.1:0")
			s, p := a.Shared(), b.Shared()
			off(t, task, func() {
				must(t, "SetWriteDeadline", s.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
				data := pattern(64 << 20)
				n, err := s.Write(data)
				wantTimeout(t, "Write", err, "write")
				if n == len(data) {
					t.Error("there is no bound")
				}
				must(t, "SetWriteDeadline", s.SetWriteDeadline(time.Time{}))
				go func() {
					s.Write([]byte("the end"))
					s.Close()
				}()
				got, err := io.ReadAll(p)
				must(t, "ReadAll", err)
				if !bytes.Equal(got[:n], data[:n]) || string(got[n:]) != "the end" {
					t.Errorf("%d bytes came of %d", len(got), n)
				}
				p.Close()
			})
		})
	})
}

// Close sends what was written for no longer than the linger time.
func TestSharedLinger(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pairOf(t, task, full, "127.0.0.1:0")
			s := a.Shared()
			began := time.Now()
			off(t, task, func() {
				s.SetWriteDeadline(began.Add(20 * time.Millisecond))
				s.Write(make([]byte, 64<<20))
				s.Close()
				if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Write: %v", err)
				}
				wantOpError(t, "Close", s.Close(), "close", net.ErrClosed)
			})
			when(t, task, "it is closed", func() bool { return task.Loop().open == 1 })
			must(t, "Close", b.Close())
		}, WithLinger(10*time.Millisecond))
	})
}

// The end of the loop ends what waits for its connections.
func TestSharedAtTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		l := testLoop(t, name)
		var wg sync.WaitGroup
		var shared *SharedConn
		must(t, "Go", l.Go(func(task Task) error {
			a, _ := pairOf(t, task, full, "127.0.0.1:0")
			s, sln := a.Shared(), sharedListener(t, task)
			shared = s
			for what, wait := range map[string]func() error{
				"Read":   func() error { _, err := s.Read(make([]byte, 1)); return err },
				"Write":  func() error { _, err := s.Write(make([]byte, 64<<20)); return err },
				"Accept": func() error { _, err := sln.Accept(); return err },
			} {
				wg.Go(func() {
					if err := wait(); !errors.Is(err, net.ErrClosed) {
						t.Errorf("%s: %v", what, err)
					}
				})
			}
			must(t, "Sleep", task.Sleep(10*time.Millisecond))
			cancel()
			return nil
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
		wg.Wait()
		_, err := shared.Write([]byte("x"))
		wantOpError(t, "Write", err, "write", net.ErrClosed)
		wantOpError(t, "SetDeadline", shared.SetDeadline(time.Now()), "set", net.ErrClosed)
		must(t, "Close", shared.Close())
	})
}

// A reset is told to who reads, and to who writes.
func TestSharedReset(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			s, c := sharedPair(t, task)
			must(t, "SetLinger", c.SetLinger(0))
			must(t, "Close", c.Close())
			off(t, task, func() {
				_, err := s.Read(make([]byte, 1))
				wantOpError(t, "Read", err, "read", unix.ECONNRESET)
				for err = nil; err == nil; time.Sleep(time.Millisecond) {
					_, err = s.Write([]byte("x"))
				}
				wantOpError(t, "Write", err, "write", unix.EPIPE)
				s.Close()
			})
		})
	})
}

// Where too much is posted to the loop already, nothing is lost.
func TestSharedPostFull(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			s, c := sharedPair(t, task)
			l := task.Loop()
			for l.Post(func() {}) != ErrPostFull {
			}
			_, err := s.Write([]byte("late"))
			must(t, "Write", err)
			data, err := c.Next()
			if string(data) != "late" || err != nil {
				t.Errorf("Next: %q, %v", data, err)
			}
			must(t, "Close", s.Close())
			must(t, "Close", c.Close())
		})
	})
}

// What is closed already becomes what is closed.
func TestSharedOfClosed(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			must(t, "Close", a.Close())
			s := a.Shared()
			_, err := s.Read(make([]byte, 1))
			wantOpError(t, "Read", err, "read", net.ErrClosed)
			_, err = s.Write([]byte("x"))
			wantOpError(t, "Write", err, "write", net.ErrClosed)
			wantOpError(t, "Close", s.Close(), "close", net.ErrClosed)
			must(t, "Close", b.Close())
		})
	})
}

// A shared listener's Accepts end at its deadline and its close; connections that none took are closed, and their number
// is bounded.
func TestSharedListener(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			s := sharedListener(t, task)
			off(t, task, func() {
				must(t, "SetDeadline", s.SetDeadline(time.Now().Add(5*time.Millisecond)))
				_, err := s.Accept()
				wantTimeout(t, "Accept", err, "accept")
				must(t, "SetDeadline", s.SetDeadline(time.Time{}))
				var peers []net.Conn
				const n = 3 * maxShared
				for range n {
					peer, err := net.Dial("tcp", s.Addr().String())
					must(t, "Dial", err)
					peers = append(peers, peer)
				}
				for range n - maxShared {
					c, err := s.Accept()
					must(t, "Accept", err)
					must(t, "Close", c.Close())
				}
				s.mu.Lock()
				if len(s.queue) > maxShared {
					t.Errorf("%d connections wait", len(s.queue))
				}
				s.mu.Unlock()
				var wg sync.WaitGroup
				must(t, "Close", s.Close())
				wg.Go(func() {
					_, err := s.Accept()
					wantOpError(t, "Accept", err, "accept", net.ErrClosed)
				})
				wg.Wait()
				wantOpError(t, "Close", s.Close(), "close", net.ErrClosed)
				wantOpError(t, "SetDeadline", s.SetDeadline(time.Now()), "set", net.ErrClosed)
				for _, peer := range peers {
					peer.SetDeadline(time.Now().Add(limit))
					if n, err := peer.Read(make([]byte, 1)); n != 0 || errors.Is(err, ErrDeadline) {
						t.Errorf("the peer's Read: %d, %v", n, err)
					}
					peer.Close()
				}
			})
		})
	})
}

// A goroutine dials by a loop, for as long as its context allows.
func TestDialContext(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var l *Loop
		run(t, name, func(task Task) {
			l = task.Loop()
			dead, refused := silent(t, task), refusing(t)
			sln := sharedListener(t, task)
			off(t, task, func() {
				c, err := l.DialContext(context.Background(), "tcp", sln.Addr().String())
				must(t, "DialContext", err)
				p, err := sln.Accept()
				must(t, "Accept", err)
				wantAddr(t, "RemoteAddr", p.RemoteAddr(), c.LocalAddr())
				c.Close()
				p.Close()
				_, err = l.DialContext(context.Background(), "tcp", refused)
				wantOpError(t, "DialContext", err, "dial", unix.ECONNREFUSED)
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
				_, err = l.DialContext(ctx, "tcp", dead)
				wantOpError(t, "DialContext", err, "dial", context.DeadlineExceeded)
				cancel()
				_, err = l.DialContext(ctx, "tcp", sln.Addr().String())
				wantOpError(t, "DialContext", err, "dial", context.DeadlineExceeded)
				_, err = (&Dialer{Timeout: time.Millisecond}).DialContext(context.Background(), l, "tcp", dead)
				wantOpError(t, "DialContext", err, "dial", ErrDeadline)
				sln.Close()
			})
		})
		_, err := l.DialContext(context.Background(), "tcp", "127.0.0.1:1")
		wantOpError(t, "DialContext", err, "dial", ErrLoopEnded)
	})
}
