package reactor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const isLinux = runtime.GOOS == "linux"

// Listen and Dial take empty hosts and unspecified addresses as package net does, for each family.
func TestUnspecifiedAsNet(t *testing.T) {
	hosts := []string{"", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]"}
	networks := []string{"tcp", "tcp4", "tcp6"}
	local := func(addr net.Addr) string {
		host, _, _ := net.SplitHostPort(addr.String())
		return host
	}
	type listening func(network, address string) (net.Listener, error)
	type dialing func(network, address string) (net.Conn, error)
	try := func(listen listening, dial dialing) (said []string) {
		for _, network := range networks {
			for _, host := range hosts {
				ln, err := listen(network, host+":0")
				if err != nil {
					said = append(said, fmt.Sprintf("listen %s %s: %v", network, host, describeError(err)))
					continue
				}
				said = append(said, fmt.Sprintf("listen %s %s: %v", network, host, local(ln.Addr())))
				ln.Close()
			}
		}
		for _, at := range append(loopbacks(t), ":0") {
			ln, err := net.Listen("tcp", at)
			must(t, "Listen", err)
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			for _, network := range networks {
				for _, host := range hosts {
					what := fmt.Sprintf("dial %s %s of %s", network, host, at)
					c, err := dial(network, host+":"+port)
					if err != nil {
						said = append(said, fmt.Sprintf("%s: %v", what, describeError(err)))
						continue
					}
					said = append(said, fmt.Sprintf("%s: %v", what, local(c.RemoteAddr())))
					c.Close()
				}
			}
			ln.Close()
		}
		return said
	}
	want := try(net.Listen, net.Dial)
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			got := try(func(network, address string) (net.Listener, error) {
				ln, err := Listen(task, network, address)
				if err != nil {
					return nil, err
				}
				return ln, nil
			}, func(network, address string) (net.Conn, error) {
				c, err := Dial(task, network, address)
				if err != nil {
					return nil, err
				}
				return c, nil
			})
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s\npackage net: %s", got[i], want[i])
				}
			}
		})
	})
}

// Unix names have the lengths that package net takes, and one that is too long is told with its length and the limit.
func TestUnixNames(t *testing.T) {
	mine := fmt.Sprintf("%09x", rand.Uint64N(1<<36)) // abstract names are the whole system's
	long := mine + strings.Repeat("a", longName-len(mine))
	names := map[string]string{ // of Linux
		"the longest with @":      "@" + long,
		"the longest with a zero": "\x00" + long,
		"a zero and 9 bytes":      "\x00" + mine,
	}
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for what, unixName := range names {
				ln, err := Listen(task, unixNetwork, unixName)
				if isLinux {
					must(t, "Listen on "+what, err)
				}
				if err != nil {
					if peer, err := net.Listen(unixNetwork, unixName); err == nil {
						peer.Close()
						t.Errorf("%s: package net listens", what)
					}
					continue
				}
				c, err := Dial(task, unixNetwork, unixName)
				must(t, "Dial of "+what, err)
				must(t, "Close", c.Close())
				must(t, "Close", ln.Close())
			}
			for unixName, limit := range map[string]string{
				"/" + strings.Repeat("x", 150): "151 bytes, and may have 107",
				"@" + strings.Repeat("x", 108): "109 bytes, and may have 108",
			} {
				_, err := Listen(task, unixNetwork, unixName)
				wantOpError(t, "Listen", err, "listen", unix.EINVAL)
				_, dialed := Dial(task, unixNetwork, unixName)
				wantOpError(t, "Dial", dialed, "dial", unix.EINVAL)
				for _, err := range []error{err, dialed} {
					if isLinux && !strings.Contains(err.Error(), limit) {
						t.Errorf("%v does not tell %q", err, limit)
					}
				}
			}
		})
	})
}

// A closed connection of a Unix socket still is one, in its addresses and errors; and an empty LocalAddr binds nothing.
func TestUnixClosed(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, unixNetwork, t.TempDir()+"/s")
			must(t, "Listen", err)
			for _, local := range []*net.UnixAddr{nil, {}, {Net: unixNetwork}} {
				d := Dialer{LocalAddr: local}
				c, err := d.Dial(task, unixNetwork, ln.Addr().String())
				must(t, "Dial", err)
				if addr := c.LocalAddr().(*net.UnixAddr); addr.Name != "" && addr.Name != "@" {
					t.Errorf("from %v LocalAddr is %v", local, addr)
				}
				must(t, "Close", c.Close())
				for _, addr := range []net.Addr{c.LocalAddr(), c.RemoteAddr()} {
					if _, ok := addr.(*net.UnixAddr); !ok || addr.Network() != unixNetwork {
						t.Errorf("an address of a closed connection is %T of %s", addr, addr.Network())
					}
				}
				_, err = c.Read(make([]byte, 1))
				errs := []error{err, c.Close(), c.SetDeadline(time.Time{}), c.CloseWrite(), c.SetNoDelay(true)}
				for _, err := range errs {
					if e, ok := err.(*net.OpError); !ok || e.Net != unixNetwork || !errors.Is(err, ErrClosed) {
						t.Errorf("of a closed connection: %v", err)
					}
				}
			}
			must(t, "Close", ln.Close())
		})
	})
}

// The address of a client that resets before it is accepted is known: bans and logs need it.
func TestRemoteAddrOfReset(t *testing.T) {
	if !isLinux {
		t.Skip("only Linux tells the address of a peer that is gone")
	}
	eachBackend(t, func(t *testing.T, name string) {
		for _, address := range loopbacks(t) {
			run(t, name, func(task Task) {
				ln, err := Listen(task, "tcp", address)
				must(t, "Listen", err)
				for range 3 { // in the first round, the accept is yet to begin
					peer, err := net.Dial("tcp", ln.Addr().String())
					must(t, "Dial", err)
					must(t, "SetLinger", peer.(*net.TCPConn).SetLinger(0))
					must(t, "Close", peer.Close())
					c, err := ln.AcceptConn()
					must(t, "Accept", err)
					wantAddr(t, "RemoteAddr", c.RemoteAddr(), peer.LocalAddr())
					_, err = c.Read(make([]byte, 1))
					e, ok := err.(*net.OpError)
					if !ok || e.Addr == nil || e.Addr.String() != peer.LocalAddr().String() {
						t.Errorf("Read: %v", err)
					}
					c.Close()
				}
				must(t, "Close", ln.Close())
			})
		}
	})
}

// A dial that is canceled says so as package net does.
func TestDialCanceledText(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			address := silent(t, task)
			dialing := task.Go(func(task Task) error {
				_, err := Dial(task, "tcp", address)
				wantOpError(t, "Dial", err, "dial", context.Canceled)
				if want := "operation was canceled"; !strings.HasSuffix(err.Error(), want) {
					t.Errorf("Dial: %q does not end with %q", err, want)
				}
				return nil
			})
			must(t, "Yield", task.Yield())
			dialing.Cancel()
			when(t, task, "it has ended", dialing.Done)
		})
	})
}

// The dialer's resolver gets the values of the context that the task, or DialContext, was given.
func TestDialResolverContext(t *testing.T) {
	type key struct{}
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			asked := make(chan any, 100)
			d := Dialer{Resolver: &net.Resolver{PreferGo: true}}
			d.Resolver.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				select {
				case asked <- ctx.Value(key{}):
				default: // it has been asked often enough
				}
				return nil, errFailed
			}
			ctx := context.WithValue(context.Background(), key{}, "value")
			must(t, "With", task.With(ctx, func() error {
				_, err := d.Dial(task, "tcp", "name.eyewall.example:1")
				if err == nil {
					t.Error("it has dialed")
				}
				return nil
			}))
			select {
			case got := <-asked:
				if got != "value" {
					t.Errorf("the resolver got %v", got)
				}
			default:
				t.Error("the resolver was not asked")
			}
			for len(asked) > 0 {
				<-asked
			}
			off(t, task, func() {
				if _, err := d.DialContext(ctx, task.Loop(), "tcp", "name.eyewall.example:1"); err == nil {
					t.Error("it has dialed")
				}
			})
			select {
			case got := <-asked:
				if got != "value" {
					t.Errorf("the resolver of DialContext got %v", got)
				}
			default:
				t.Error("the resolver of DialContext was not asked")
			}
		})
	})
}

// Without one family, the error of a dial is that of the other.
func TestDialWithoutFamily(t *testing.T) {
	if len(loopbacks(t)) < 2 {
		t.Skip("this system has one family")
	}
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			_, port, _ := net.SplitHostPort(refusing(t))
			for _, missing := range []error{unix.EADDRNOTAVAIL, unix.EAFNOSUPPORT, unix.ENETUNREACH} {
				d := Dialer{Control: func(network, _ string, _ syscall.RawConn) error {
					if network == "tcp6" {
						return missing
					}
					return nil
				}}
				_, err := d.Dial(task, "tcp", "[::]:"+port)
				wantOpError(t, "Dial", err, "dial", unix.ECONNREFUSED)
				if e := err.(*net.OpError); e.Addr.String() != "127.0.0.1:"+port {
					t.Errorf("the error is that of %v", e.Addr)
				}
				_, err = d.Dial(task, "tcp6", "[::]:"+port)
				wantOpError(t, "Dial of IPv6", err, "dial", missing)
			}
		})
	})
}

// A link-local address without a zone: the error tells that it needs one.
func TestZoneMissing(t *testing.T) {
	if len(loopbacks(t)) < 2 || !isLinux {
		t.Skip("without IPv6")
	}
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			_, err := Dial(task, "tcp", "[fe80::1]:1")
			_, listened := Listen(task, "tcp", "[fe80::1]:1")
			for _, err := range []error{err, listened} {
				if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "zone") {
					t.Errorf("the error is %v", err)
				}
			}
		})
	})
}

// Durations at the ends of their range work as package net's.
func TestExtremeDurations(t *testing.T) {
	ends := []time.Duration{0, -1, math.MinInt64, math.MaxInt64}
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			std, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			defer std.Close()
			for _, d := range ends {
				a, err := (&Dialer{KeepAlive: d}).Dial(task, "tcp", std.Addr().String())
				if err == nil {
					a.Close()
				}
				if d != math.MaxInt64 && err != nil || d == math.MaxInt64 && !errors.Is(err, unix.EINVAL) && isLinux {
					t.Errorf("KeepAlive of %d: Dial: %v", d, err) // package net drops the error
				}
				ln, err := (&ListenConfig{KeepAlive: d}).Listen(task, "tcp", "127.0.0.1:0")
				if err == nil {
					ln.Close()
				}
				if d != math.MaxInt64 && err != nil || d == math.MaxInt64 && !errors.Is(err, unix.EINVAL) && isLinux {
					t.Errorf("KeepAlive of %d: Listen: %v", d, err)
				}
				a, b := pair(t, task)
				theirs, err := net.Dial("tcp", std.Addr().String())
				must(t, "Dial", err)
				want := theirs.(*net.TCPConn).SetKeepAlivePeriod(d)
				if errors.Is(want, unix.EINVAL) != (d == math.MaxInt64) && isLinux {
					t.Errorf("SetKeepAlivePeriod(%d) of package net: %v", d, want)
				}
				theirs.Close()
				before := idleTime(t, a.FD())
				err = a.SetKeepAlivePeriod(d)
				if d == math.MaxInt64 {
					wantErr(t, "SetKeepAlivePeriod", err, unix.EINVAL)
				} else {
					must(t, "SetKeepAlivePeriod", err)
				}
				if after := idleTime(t, a.FD()); after != before {
					t.Errorf("SetKeepAlivePeriod(%d): %d s, and were %d", d, after, before)
				}
				must(t, "Close", a.Close())
				must(t, "Close", b.Close())
				c, err := (&Dialer{Timeout: d}).Dial(task, "tcp", std.Addr().String())
				if err == nil {
					c.Close()
				}
				if d >= 0 && err != nil || d < 0 && !errors.Is(err, ErrDeadline) {
					t.Errorf("Timeout of %d: %v", d, err)
				}
				err = task.Timeout(d, func() error { return nil })
				if err != nil {
					t.Errorf("Task.Timeout(%d): %v", d, err)
				}
				if d != math.MaxInt64 {
					must(t, "Sleep", task.Sleep(d))
				}
			}
		})
	})
}

// idleTime is for how long a connection has been idle when it is probed, in seconds.
func idleTime(t testing.TB, fd int) int {
	t.Helper()
	if !isLinux {
		return 0
	}
	n, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, 4) // TCP_KEEPIDLE
	must(t, "getsockopt", err)
	return n
}

// A FallbackDelay at the end of its range never comes: the next address is tried when the first has failed.
func TestFallbackDelayMax(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			at := silent(t, task)
			tried := 0
			d := Dialer{FallbackDelay: math.MaxInt64}
			d.Control = func(string, string, syscall.RawConn) error { tried++; return nil }
			dialing := task.Go(func(task Task) error {
				ip := netip.MustParseAddrPort(at)
				_, err := d.race(task, "tcp", []place{{ip: ip}, {ip: ip}})
				wantErr(t, "Dial", err, ErrCanceled)
				return nil
			})
			must(t, "Sleep", task.Sleep(20*time.Millisecond))
			if tried != 1 {
				t.Errorf("%d addresses were tried", tried)
			}
			dialing.Cancel()
			when(t, task, "it has ended", dialing.Done)
		})
	})
}
