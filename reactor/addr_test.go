package reactor

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Both ends tell the same addresses, as package net would.
func TestAddresses(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, address := range loopbacks(t) {
			run(t, name, func(task Task) {
				ln, err := Listen(task, "tcp", address)
				must(t, "Listen", err)
				if ap := netip.MustParseAddrPort(ln.Addr().String()); ap.Port() == 0 || ap.Addr() != netip.MustParseAddrPort(address).Addr() {
					t.Errorf("Addr is %v, of a listener on %s", ln.Addr(), address)
				}
				if ln.Addr().Network() != "tcp" {
					t.Errorf("the network is %q", ln.Addr().Network())
				}
				peer, err := net.Dial("tcp", ln.Addr().String())
				must(t, "Dial", err)
				defer peer.Close()
				accepted, err := ln.AcceptConn()
				must(t, "Accept", err)
				wantAddr(t, "LocalAddr of one accepted", accepted.LocalAddr(), peer.RemoteAddr())
				wantAddr(t, "RemoteAddr of one accepted", accepted.RemoteAddr(), peer.LocalAddr())

				a, err := Dial(task, "tcp", ln.Addr().String())
				must(t, "Dial", err)
				b, err := ln.AcceptConn()
				must(t, "Accept", err)
				wantAddr(t, "RemoteAddr of one dialed", a.RemoteAddr(), ln.Addr())
				wantAddr(t, "LocalAddr of one dialed", a.LocalAddr(), b.RemoteAddr())
				wantAddr(t, "RemoteAddr of one dialed", a.RemoteAddr(), b.LocalAddr())
				for _, c := range []Conn{accepted, a, b} {
					must(t, "Close", c.Close())
				}
				must(t, "Close", ln.Close())
			})
		}
	})
}

func wantAddr(t testing.TB, what string, got, want net.Addr) {
	t.Helper()
	if got.String() != want.String() || got.Network() != want.Network() {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// A connection of a listener on all addresses has the one that was dialed, and an IPv4 one as such.
func TestAddressesOfWildcardListener(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", ":0")
			must(t, "Listen", err)
			_, port, err := net.SplitHostPort(ln.Addr().String())
			must(t, "SplitHostPort", err)
			for _, address := range loopbacks(t) {
				host, _, _ := net.SplitHostPort(address)
				peer, err := net.Dial("tcp", net.JoinHostPort(host, port))
				must(t, "Dial", err)
				c, err := ln.AcceptConn()
				must(t, "Accept", err)
				wantAddr(t, "LocalAddr", c.LocalAddr(), peer.RemoteAddr())
				wantAddr(t, "RemoteAddr", c.RemoteAddr(), peer.LocalAddr())
				peer.Close()
				must(t, "Close", c.Close())
			}
			must(t, "Close", ln.Close())
		})
	})
}

// Errors name the addresses, as those of package net do.
func TestErrorsNameAddresses(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			local, remote := a.LocalAddr(), a.RemoteAddr()
			must(t, "CloseWrite", a.CloseWrite())
			_, err := a.Write([]byte("x"))
			e, ok := err.(*net.OpError)
			if !ok || e.Source.String() != local.String() || e.Addr.String() != remote.String() || e.Net != "tcp" {
				t.Errorf("Write: %#v", err)
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// Connections are set up as their listener says, and dialed ones as by default.
func TestSocketOptions(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			option := func(c Conn, level, option int) int {
				n, err := unix.GetsockoptInt(c.FD(), level, option)
				must(t, "getsockopt", err)
				return n
			}
			a, b := pair(t, task)
			c, d := pairOf(t, task, ListenConfig{Delay: true, KeepAlive: -1}, "127.0.0.1:0")
			for _, one := range []struct {
				c                  Conn
				noDelay, keepAlive bool
			}{{a, true, true}, {b, true, true}, {c, true, true}, {d, false, false}} {
				if got := option(one.c, unix.IPPROTO_TCP, unix.TCP_NODELAY) != 0; got != one.noDelay {
					t.Errorf("TCP_NODELAY is %v", got)
				}
				if got := option(one.c, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0; got != one.keepAlive {
					t.Errorf("SO_KEEPALIVE is %v", got)
				}
			}
			for _, on := range []bool{false, true} {
				must(t, "SetNoDelay", a.SetNoDelay(on))
				if got := option(a, unix.IPPROTO_TCP, unix.TCP_NODELAY) != 0; got != on {
					t.Errorf("TCP_NODELAY is %v after SetNoDelay(%v)", got, on)
				}
			}
			for _, c := range []Conn{a, b, c, d} {
				must(t, "Close", c.Close())
			}
		})
	})
}
