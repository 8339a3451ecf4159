package reactor

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unused is the address of a free port, for who binds to it. Another program may be quicker.
func unused(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "Listen", err)
	defer ln.Close()
	return ln.Addr().String()
}

// refusing is the address of a port on which nobody listens. It is the test's until its end, or another program might.
func refusing(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, "socket", err)
	unix.CloseOnExec(fd)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, "bind", unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	at, err := unix.Getsockname(fd)
	must(t, "getsockname", err)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.(*unix.SockaddrInet4).Port))
}

func TestDialRefused(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			address := refusing(t)
			_, port, _ := net.SplitHostPort(address)
			for _, address := range []string{address, "localhost:" + port, ":" + port} {
				_, err := Dial(task, "tcp", address)
				wantOpError(t, "Dial of "+address, err, "dial", unix.ECONNREFUSED)
				if !strings.Contains(err.Error(), port) || !strings.Contains(err.Error(), "connection refused") {
					t.Errorf("Dial of %s: %q does not tell enough", address, err)
				}
			}
		})
	})
}

// Errors of Dial say what is wrong, and with what.
func TestDialErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, c := range []struct {
				network, address string
				want             []string
			}{
				{"udp", "127.0.0.1:1", []string{"udp", "tcp, tcp4, tcp6 or unix"}},
				{"tcp", "127.0.0.1", []string{"missing port"}},
				{"tcp", "127.0.0.1:99999", []string{"99999"}},
				{"tcp", "no such host.invalid:1", []string{"no such host"}},
				{"tcp6", "127.0.0.1:1", []string{"tcp6", "127.0.0.1"}},
			} {
				_, err := Dial(task, c.network, c.address)
				var e *net.OpError
				if !errors.As(err, &e) || e.Op != "dial" || e.Net != c.network {
					t.Errorf("Dial(%q, %q): %#v is no *net.OpError of dial", c.network, c.address, err)
					continue
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("Dial(%q, %q): %q does not tell %q", c.network, c.address, err, want)
					}
				}
			}
		})
	})
}

// A name is looked up while the loop goes on, and each of its addresses is tried.
func TestDialName(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, address := range loopbacks(t) {
				ln, err := Listen(task, "tcp", address)
				must(t, "Listen", err)
				_, port, _ := net.SplitHostPort(ln.Addr().String())
				if ips, _ := net.LookupHost("localhost"); len(ips) < 2 && address != "127.0.0.1:0" {
					t.Logf("localhost is %v only", ips)
				} else {
					a, err := Dial(task, "tcp", "localhost:"+port)
					must(t, "Dial", err)
					b, err := ln.AcceptConn()
					must(t, "Accept", err)
					wantAddr(t, "RemoteAddr", a.RemoteAddr(), ln.Addr())
					must(t, "Close", a.Close())
					must(t, "Close", b.Close())
				}
				must(t, "Close", ln.Close())
			}
		})
	})
}

// An empty host, or the unspecified address, is this machine.
func TestDialThisMachine(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", ":0")
			must(t, "Listen", err)
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			for _, host := range []string{"", "0.0.0.0", "127.0.0.1", "localhost"} {
				a, err := Dial(task, "tcp", host+":"+port)
				must(t, "Dial", err)
				b, err := ln.AcceptConn()
				must(t, "Accept", err)
				must(t, "Close", a.Close())
				must(t, "Close", b.Close())
			}
			must(t, "Close", ln.Close())
		})
	})
}

// A canceled dial ends at once, while it looks up a name and while it connects, and leaves no descriptor.
func TestDialCanceled(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			address := silent(t, task)
			_, port, _ := net.SplitHostPort(address)
			for _, address := range []string{address, "localhost:" + port} {
				dialing := task.Go(func(task Task) error {
					_, err := Dial(task, "tcp", address)
					wantOpError(t, "Dial of "+address, err, "dial", ErrCanceled)
					return nil
				})
				must(t, "Yield", task.Yield())
				must(t, "Yield", task.Yield())
				if dialing.Done() {
					t.Error("it did not wait")
				}
				dialing.Cancel()
				when(t, task, "it has ended", dialing.Done)
			}
		})
	})
}

// silent is an address that does not answer who connects: its queue is full.
func silent(t testing.TB, task Task) string {
	t.Helper()
	cfg := ListenConfig{Backlog: 1}
	ln, err := cfg.Listen(task, "tcp", "127.0.0.1:0")
	must(t, "Listen", err)
	port := ln.Addr().(*net.TCPAddr).Port
	for range 10 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		must(t, "socket", err)
		t.Cleanup(func() { unix.Close(fd) })
		must(t, "fcntl", unix.SetNonblock(fd, true))
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		if err != nil && err != unix.EINPROGRESS {
			t.Fatalf("connect: %v", err)
		}
		// Over the loopback interface a listener that answers does so within one system call, as a rule.
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 200); n == 0 && err == nil {
			return ln.Addr().String()
		}
	}
	t.Fatal("its queue is never full")
	return ""
}

// The end of Run's context ends a dial, too.
func TestDialAtTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		l := testLoop(t, name)
		must(t, "Go", l.Go(func(task Task) error {
			address := silent(t, task)
			task.Go(func(task Task) error {
				must(t, "Sleep", task.Sleep(time.Millisecond))
				cancel()
				return nil
			})
			_, err := Dial(task, "tcp", address)
			wantErr(t, "Dial", err, ErrCanceled)
			return err
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
	})
}
