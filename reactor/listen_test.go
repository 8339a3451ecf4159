package reactor

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Errors of Listen say what is wrong, and with what.
func TestListenErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			busy, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			for _, c := range []struct {
				network, address string
				want             []string
			}{
				{"tcp", busy.Addr().String(), []string{busy.Addr().String(), "address already in use"}},
				{"tcp", "127.0.0.1", []string{"127.0.0.1", "missing port"}},
				{"tcp", "127.0.0.1:http:1", []string{"too many colons"}},
				{"tcp", "127.0.0.1:65536", []string{"65536", "port"}},
				{"tcp", "127.0.0.1:-1", []string{"-1", "port"}},
				{"tcp", "127.0.0.1:nosuchservice", []string{"nosuchservice"}},
				{"tcp", "192.0.2.1:0", []string{"192.0.2.1", "cannot assign requested address"}},
				{"tcp", "no such host.invalid:0", []string{"no such host"}},
				{"tcp", "::1:80:", nil},
				{"tcp6", "127.0.0.1:0", []string{"tcp6", "127.0.0.1"}},
				{"tcp4", "[::1]:0", []string{"tcp4", "::1"}},
				{"udp", "127.0.0.1:0", []string{"udp", "tcp, tcp4, tcp6 or unix"}},
				{"", "127.0.0.1:0", []string{"tcp, tcp4, tcp6 or unix"}},
				{"tcp", "[fe80::1%nosuchnet]:0", []string{"nosuchnet"}},
			} {
				ln, err := Listen(task, c.network, c.address)
				if err == nil {
					t.Errorf("Listen(%q, %q): no error", c.network, c.address)
					ln.Close()
					continue
				}
				var e *net.OpError
				if !errors.As(err, &e) || e.Op != "listen" {
					t.Errorf("Listen(%q, %q): %#v is no *net.OpError of listen", c.network, c.address, err)
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("Listen(%q, %q): %q does not tell %q", c.network, c.address, err, want)
					}
				}
			}
			_, err = Listen(task, "tcp", busy.Addr().String())
			wantErr(t, "Listen on a busy port", err, unix.EADDRINUSE)
			must(t, "Close", busy.Close())
		})
	})
}

// Without a host a listener takes connections of both families, and with one of one.
func TestListenFamilies(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			both := loopbacks(t)
			four, six := both[:1], both[1:]
			for _, c := range []struct {
				network, address string
				takes            []string
			}{
				{"tcp", ":0", both},
				{"tcp", "[::]:0", both},
				{"tcp", "0.0.0.0:0", four},
				{"tcp", "127.0.0.1:0", four},
				{"tcp4", ":0", four},
				{"tcp6", ":0", six},
				{"tcp6", "[::1]:0", six},
				{"tcp", "[::ffff:127.0.0.1]:0", four},
				{"tcp4", "localhost:0", four},
			} {
				if c.takes == nil || len(six) == 0 && strings.Contains(c.address, "[") {
					continue
				}
				ln, err := Listen(task, c.network, c.address)
				if err != nil {
					t.Errorf("Listen(%q, %q): %v", c.network, c.address, err)
					continue
				}
				_, port, _ := net.SplitHostPort(ln.Addr().String())
				for _, address := range both {
					host, _, _ := net.SplitHostPort(address)
					peer, err := net.Dial("tcp", net.JoinHostPort(host, port))
					if err == nil {
						defer peer.Close()
					}
					if slices.Contains(c.takes, address) {
						must(t, "Dial", err)
						ln.SetDeadline(time.Now().Add(limit / 2))
					} else {
						ln.SetDeadline(time.Now()) // it may be another's port, of the other family
					}
					got, err := ln.AcceptConn()
					if taken := err == nil; taken != slices.Contains(c.takes, address) {
						t.Errorf("Listen(%q, %q) takes a connection to %s: %v", c.network, c.address, host, taken)
					}
					if err == nil {
						must(t, "Close", got.Close())
					}
				}
				must(t, "Close", ln.Close())
			}
		})
	})
}

// A port may be listened on again as soon as the listener is closed, though connections of it linger.
func TestListenAgain(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			for range 3 {
				a, err := Dial(task, "tcp", ln.Addr().String())
				must(t, "Dial", err)
				b, err := ln.AcceptConn()
				must(t, "Accept", err)
				must(t, "Close", b.Close()) // first, so that the port has a connection in TIME-WAIT
				if _, err := a.Next(); err != io.EOF {
					t.Errorf("Next: %v", err)
				}
				must(t, "Close", a.Close())
				must(t, "Close", ln.Close())
				when(t, task, "it is closed", func() bool { return task.Loop().open == 0 })
				ln, err = Listen(task, "tcp", ln.Addr().String())
				must(t, "Listen, again", err)
			}
			must(t, "Close", ln.Close())
		})
	})
}

// Several listeners on one address share its connections, where each says so.
func TestReusePort(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			cfg := ListenConfig{ReusePort: true}
			first, err := cfg.Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			second, err := cfg.Listen(task, "tcp", first.Addr().String())
			must(t, "Listen", err)
			_, err = Listen(task, "tcp", first.Addr().String())
			wantErr(t, "Listen without it", err, unix.EADDRINUSE)
			must(t, "Close", first.Close())
			must(t, "Close", second.Close())
		})
	})
}

// Closing a listener wakes who waits for a connection, closes those that nobody has taken, and leaves those that were.
func TestListenerClose(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			woken := 0
			for range 3 {
				task.Go(func(Task) error {
					c, err := ln.Accept()
					wantOpError(t, "Accept", err, "accept", ErrClosed)
					if c != nil {
						t.Errorf("Accept returns %v beside an error", c)
					}
					woken++
					return nil
				})
			}
			must(t, "Sleep", task.Sleep(time.Millisecond))
			must(t, "Close", ln.Close())
			when(t, task, "all are woken", func() bool { return woken == 3 })
			wantOpError(t, "Close, again", ln.Close(), "close", ErrClosed)
			_, err = ln.Accept()
			wantOpError(t, "Accept, later", err, "accept", ErrClosed)

			ln, err = Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			var peers []Conn
			for range 10 {
				c, err := Dial(task, "tcp", ln.Addr().String())
				must(t, "Dial", err)
				peers = append(peers, c)
			}
			taken, err := ln.AcceptConn()
			must(t, "Accept", err)
			must(t, "Sleep", task.Sleep(time.Millisecond)) // the others are accepted as well, for nobody
			must(t, "Close", ln.Close())
			taken.Write([]byte("x"))
			ended := 0
			for _, c := range peers {
				if data, err := c.Next(); err == nil {
					same(t, "what the one that was taken got", data, []byte("x"))
				} else {
					ended++
				}
				must(t, "Close", c.Close())
			}
			if ended != 9 {
				t.Errorf("%d of 9 connections that nobody took have ended", ended)
			}
			must(t, "Close", taken.Close())
		})
	})
}

// While many connections are pending that nobody takes no more are accepted: they wait in the system's queue, and come
// later, in order.
func TestPendingIsBounded(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			const conns = 3 * maxPending
			var peers []net.Conn
			dial := func(n int) {
				for range n {
					c, err := net.Dial("tcp", ln.Addr().String())
					must(t, "Dial", err)
					peers = append(peers, c)
				}
			}
			taken := 0
			take := func() {
				c, err := ln.AcceptConn()
				must(t, "Accept", err)
				wantAddr(t, "RemoteAddr, in order", c.RemoteAddr(), peers[taken].LocalAddr())
				must(t, "Close", c.Close())
				peers[taken].Close()
				taken++
			}
			dial(2 * maxPending)
			take()
			when(t, task, "it has stopped accepting", func() bool { return !ln.accepting })
			pending := ln.pending.n // io_uring takes what is there in one go, the others less
			if pending < maxPending-1 {
				t.Errorf("it has stopped accepting with %d connections pending; the bound is %d", pending, maxPending)
			}
			dial(maxPending)
			must(t, "Sleep", task.Sleep(2*time.Millisecond))
			if n := ln.pending.n; n != pending {
				t.Errorf("%d connections are pending; there were %d when it had stopped accepting", n, pending)
			}
			for taken < conns {
				take()
			}
			must(t, "Close", ln.Close())
		})
	})
}

// Several tasks may accept from one listener.
func TestSeveralAccept(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			accepted := 0
			for range 4 {
				task.Go(func(task Task) error {
					for {
						c, err := ln.AcceptConn()
						if err != nil {
							return nil
						}
						accepted++
						must(t, "Close", c.Close())
					}
				})
			}
			for range 50 {
				c, err := Dial(task, "tcp", ln.Addr().String())
				must(t, "Dial", err)
				if _, err := c.Next(); err != io.EOF {
					t.Errorf("Next: %v", err)
				}
				must(t, "Close", c.Close())
			}
			if accepted != 50 {
				t.Errorf("%d of 50 were accepted", accepted)
			}
			must(t, "Close", ln.Close())
		})
	})
}

// A task canceled while it waits for a connection takes none away.
func TestAcceptCanceled(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			waiting := task.Go(func(Task) error {
				_, err := ln.AcceptConn()
				wantOpError(t, "Accept", err, "accept", ErrCanceled)
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			waiting.Cancel()
			when(t, task, "it has ended", waiting.Done)
			a, err := Dial(task, "tcp", ln.Addr().String())
			must(t, "Dial", err)
			b, err := ln.AcceptConn()
			must(t, "Accept", err)
			wantAddr(t, "RemoteAddr", b.RemoteAddr(), a.LocalAddr())
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
			must(t, "Close", ln.Close())
		})
	})
}
