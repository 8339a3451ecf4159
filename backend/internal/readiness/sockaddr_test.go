//go:build unix && (!linux || eyewall_portable)

package readiness

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/eyewall/eyewall/internal/sock"
	"golang.org/x/sys/unix"
)

// raw makes a socket address as a Connect has it.
func raw(t *testing.T, addr string) []byte {
	t.Helper()
	make := func() ([]byte, error) { return sock.RawUnix(nil, addr) }
	if at, err := netip.ParseAddrPort(addr); err == nil {
		make = func() ([]byte, error) { return sock.Raw(nil, at) }
	}
	p, err := make()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseAddress(t *testing.T) {
	var c connector
	for _, addr := range []string{"192.0.2.1:258", "192.0.2.3:1", "[2001:db8::1%7]:258", "[2001:db8::2]:1", "/tmp/a", "/b", "@abstract", "@ab\x00c"} {
		if addr[0] == '@' && runtime.GOOS != "linux" {
			continue
		}
		sa, err := c.parse(raw(t, addr))
		if err != nil {
			t.Errorf("%q: %v", addr, err)
		}
		got := ""
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			got = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
		case *unix.SockaddrInet6:
			ip := netip.AddrFrom16(sa.Addr)
			if sa.ZoneId != 0 {
				ip = ip.WithZone("7")
			}
			got = netip.AddrPortFrom(ip, uint16(sa.Port)).String()
		case *unix.SockaddrUnix:
			if got = sa.Name; got[0] == 0 {
				got = "@" + got[1:]
			}
		}
		if got != addr {
			t.Errorf("%q became %q", addr, got)
		}
	}
}

func TestParseNoAddress(t *testing.T) {
	var c connector
	in4, in6 := raw(t, "192.0.2.1:258"), raw(t, "[2001:db8::1]:258")
	unknown := append([]byte(nil), in4...)
	unknown[0], unknown[1] = 77, 77
	for _, bad := range []struct {
		raw  []byte
		want error
	}{
		{nil, unix.EINVAL}, {in4[:1], unix.EINVAL}, {in4[:15], unix.EINVAL}, {in6[:16], unix.EINVAL}, {unknown, unix.EAFNOSUPPORT},
	} {
		if sa, err := c.parse(bad.raw); err != bad.want {
			t.Errorf("% x became %v, %v; want %v", bad.raw, sa, err, bad.want)
		}
	}
}

// A connect allocates nothing, to an address of any kind.
func TestConnectAllocatesNothing(t *testing.T) {
	c := new(connector)
	for _, addr := range []string{"192.0.2.1:258", "[2001:db8::1]:258", "/no/such/socket"} {
		p := raw(t, addr)
		if n := testing.AllocsPerRun(100, func() { c.connect(-1, p) }); n != 0 {
			t.Errorf("%s: %v allocations", addr, n)
		}
	}
}
