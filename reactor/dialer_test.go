package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// places makes some of addresses.
func placesOf(addresses ...string) (list []place) {
	for _, address := range addresses {
		list = append(list, place{ip: netip.MustParseAddrPort(address)})
	}
	return list
}

// An address that does not answer holds up none of the others, and what was begun with it is closed.
func TestDialRace(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			there, dead, refused := ln.Addr().String(), silent(t, task), refusing(t)
			for _, c := range []struct {
				addresses []string
				delay     time.Duration
				connects  bool
			}{
				{[]string{there}, 0, true},
				{[]string{there, dead}, time.Hour, true},
				{[]string{dead, there}, time.Millisecond, true},
				{[]string{dead, dead, refused, there}, time.Millisecond, true},
				{[]string{refused, refused, there}, time.Hour, true}, // a failure does not wait
				{[]string{refused, refused, there}, -1, true},
				{[]string{refused, refused}, time.Hour, false},
				{[]string{refused, dead}, time.Millisecond, false},
				{[]string{dead, there}, -1, false},
			} {
				d := Dialer{FallbackDelay: c.delay}
				var conn Conn
				err := task.Timeout(limit/2, func() error {
					if !c.connects && slices.Contains(c.addresses, dead) {
						return task.Timeout(20*time.Millisecond, func() error {
							_, err := d.race(task, "tcp", placesOf(c.addresses...))
							return err
						})
					}
					conn, err = d.race(task, "tcp", placesOf(c.addresses...))
					return err
				})
				switch {
				case c.connects && err == nil:
					wantAddr(t, "RemoteAddr", conn.RemoteAddr(), ln.Addr())
					b, err := ln.AcceptConn()
					must(t, "Accept", err)
					wantAddr(t, "RemoteAddr", b.RemoteAddr(), conn.LocalAddr())
					must(t, "Close", conn.Close())
					must(t, "Close", b.Close())
				case c.connects:
					t.Errorf("%v after %v: %v", c.addresses, c.delay, err)
				case slices.Contains(c.addresses, dead):
					wantOpError(t, fmt.Sprint(c), err, "dial", context.DeadlineExceeded)
				default:
					wantOpError(t, fmt.Sprint(c), err, "dial", unix.ECONNREFUSED)
				}
			}
			must(t, "Close", ln.Close())
		})
	})
}

// Families come in turn, the resolver's first one first.
func TestInTurn(t *testing.T) {
	for _, c := range []struct{ given, want string }{
		{"1 2 3", "1 2 3"},
		{"::1 ::2 ::3 1 2", "::1 1 ::2 2 ::3"},
		{"1 ::1 ::2 ::3 2", "1 ::1 2 ::2 ::3"},
		{"", ""},
	} {
		var addrs []netip.AddrPort
		for _, a := range strings.Fields(c.given) {
			if !strings.Contains(a, ":") {
				a = "192.0.2." + a
			}
			addrs = append(addrs, netip.AddrPortFrom(netip.MustParseAddr(a), 1))
		}
		var got []string
		for _, addr := range inTurn(addrs) {
			got = append(got, strings.TrimPrefix(addr.Addr().String(), "192.0.2."))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s becomes %v, want %s", c.given, got, c.want)
		}
	}
}

// A dial that takes too long, or whose task's waits end, says why.
func TestDialEnds(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			address := silent(t, task)
			d := Dialer{Timeout: 5 * time.Millisecond}
			_, err := d.Dial(task, "tcp", address)
			wantOpError(t, "Dial", err, "dial", ErrDeadline)
			wantErr(t, "Dial", err, context.DeadlineExceeded)
			if e, ok := err.(net.Error); !ok || !e.Timeout() {
				t.Errorf("%v is no timeout", err)
			}
			if want := "dial tcp " + address + ": i/o timeout"; err.Error() != want {
				t.Errorf("Dial: %q, want %q", err, want)
			}
			_, err = (&Dialer{Timeout: -1}).Dial(task, "tcp", address)
			wantOpError(t, "Dial", err, "dial", ErrDeadline)
			must(t, "Yield", task.Yield()) // the timeout is over

			why := errors.New("enough")
			ctx, cancel := context.WithCancelCause(context.Background())
			task.Go(func(task Task) error {
				must(t, "Yield", task.Yield())
				cancel(why)
				return nil
			})
			err = task.With(ctx, func() error {
				_, err := Dial(task, "tcp", address)
				return err
			})
			wantOpError(t, "Dial", err, "dial", why)
			err = task.With(ctx, func() error {
				_, err := Dial(task, "tcp", address)
				return err
			})
			wantOpError(t, "Dial", err, "dial", why)
		})
	})
}

// A dialer dials from the address it is given.
func TestDialLocalAddr(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, address := range loopbacks(t) {
				ln, err := Listen(task, "tcp", address)
				must(t, "Listen", err)
				free := netip.MustParseAddrPort(unused(t)).Port()
				host, _, _ := net.SplitHostPort(address)
				for _, local := range []*net.TCPAddr{{}, {Port: int(free)}, {IP: net.ParseIP(host)}, {IP: net.IPv4zero}} {
					d := Dialer{LocalAddr: local}
					a, err := d.Dial(task, "tcp", ln.Addr().String())
					for tries := 0; local.Port != 0 && errors.Is(err, unix.EADDRINUSE) && tries < 20; tries++ {
						local.Port = int(netip.MustParseAddrPort(unused(t)).Port()) // the last one was taken meanwhile
						a, err = d.Dial(task, "tcp", ln.Addr().String())
					}
					must(t, "Dial from "+local.String(), err)
					b, err := ln.AcceptConn()
					must(t, "Accept", err)
					wantAddr(t, "RemoteAddr", b.RemoteAddr(), a.LocalAddr())
					from := a.LocalAddr().(*net.TCPAddr)
					if local.Port != 0 && from.Port != local.Port || !from.IP.Equal(net.ParseIP(host)) {
						t.Errorf("dialed from %v, it has %v", local, from)
					}
					must(t, "Close", b.Close()) // first, so that the port waits nowhere
					must(t, "Close", a.Close())
				}
				must(t, "Close", ln.Close())
			}
			for _, c := range []struct {
				local net.Addr
				want  string
			}{
				{&net.TCPAddr{IP: net.IPv6loopback}, "no suitable address"},
				{&net.UnixAddr{Name: "x"}, "mismatched local address type"},
				{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "bind: cannot assign requested address"},
			} {
				_, err := (&Dialer{LocalAddr: c.local}).Dial(task, "tcp", "127.0.0.1:1")
				var e *net.OpError
				if !errors.As(err, &e) || e.Source != c.local || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Dial from %v: %v, want %s", c.local, err, c.want)
				}
			}
		})
	})
}

// What a dialer sets, the socket has.
func TestDialerOptions(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			for _, c := range []struct {
				dialer           Dialer
				noDelay, probing bool
			}{
				{Dialer{}, true, true},
				{Dialer{Delay: true, KeepAlive: -1}, false, false},
				{Dialer{KeepAlive: time.Minute, Timeout: limit}, true, true},
			} {
				a, err := c.dialer.Dial(task, "tcp", ln.Addr().String())
				must(t, "Dial", err)
				noDelay, err := unix.GetsockoptInt(a.FD(), unix.IPPROTO_TCP, unix.TCP_NODELAY)
				must(t, "getsockopt", err)
				probing, err := unix.GetsockoptInt(a.FD(), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
				must(t, "getsockopt", err)
				if (noDelay != 0) != c.noDelay || (probing != 0) != c.probing {
					t.Errorf("%+v: TCP_NODELAY is %d, SO_KEEPALIVE is %d", c.dialer, noDelay, probing)
				}
				must(t, "Close", a.Close())
			}
			must(t, "Close", ln.Close())
		})
	})
}

// Errors are those of package net.
func TestDialErrorsAsNet(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			address := refusing(t)
			for _, c := range []struct{ network, address string }{
				{"tcp", address},
				{"tcp4", address},
				{"tcp", "127.0.0.1"},
				{"tcp", "127.0.0.1:99999"},
				{"tcp", "127.0.0.1:nosuchservice"},
			} {
				_, err := Dial(task, c.network, c.address)
				_, want := net.Dial(c.network, c.address)
				if fmt.Sprint(err) != fmt.Sprint(want) {
					t.Errorf("Dial(%q, %q): %v, and net's is %v", c.network, c.address, err, want)
				}
			}
			_, err := Dial(task, "tcp", address)
			var errno *os.SyscallError
			if !errors.As(err, &errno) || errno.Syscall != "connect" {
				t.Errorf("Dial: %#v has no *os.SyscallError of connect", err)
			}
		})
	})
}

// Who would be connected to itself is refused, for nobody listens there; who asks for that by its own port is not.
func TestDialItself(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			at := netip.MustParseAddrPort(unused(t))
			d := Dialer{LocalAddr: net.TCPAddrFromAddrPort(at)}
			c, err := d.Dial(task, "tcp", at.String())
			must(t, "Dial", err)
			wantAddr(t, "LocalAddr", c.LocalAddr(), c.RemoteAddr())
			a := attempt{at: &place{ip: at}, fd: c.FD()}
			if (&race{dialer: &d}).toItself(a) || !(&race{dialer: new(Dialer)}).toItself(a) {
				t.Error("only what chooses its port is to be taken for connected to itself by chance")
			}
			must(t, "Close", c.Close())
		})
	})
}
