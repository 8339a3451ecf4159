package sock

import (
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// loopbacks are the addresses of this machine in the families that it has.
func loopbacks() []netip.AddrPort {
	list := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		ln.Close()
		list = append(list, netip.MustParseAddrPort("[::1]:0"))
	}
	return list
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// open makes a socket that ends with the test.
func open(t *testing.T, addr netip.Addr) int {
	t.Helper()
	fd, err := New(addr)
	must(t, "New", err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// A socket does not block, and programs that are started do not inherit it.
func TestNew(t *testing.T) {
	for _, addr := range loopbacks() {
		fd := open(t, addr.Addr())
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("%v: F_GETFL is %x, %v", addr, flags, err)
		}
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%v: F_GETFD is %x, %v", addr, flags, err)
		}
	}
}

// What Bind and Raw say to the kernel, Local and Remote read from it.
func TestAddresses(t *testing.T) {
	for _, addr := range loopbacks() {
		ln := open(t, addr.Addr())
		must(t, "Bind", Bind(ln, addr))
		must(t, "listen", unix.Listen(ln, 1))
		at := Local(ln)
		if at.Addr() != addr.Addr() || at.Port() == 0 {
			t.Errorf("bound to %v, Local is %v", addr, at)
		}
		if got := Remote(ln); got.IsValid() {
			t.Errorf("the peer of a listening socket is %v", got)
		}
		peer, err := net.Dial("tcp", at.String())
		must(t, "Dial", err)
		defer peer.Close()
		fd, err := acceptSoon(ln)
		must(t, "accept", err)
		defer unix.Close(fd)
		if got, want := Remote(fd).String(), peer.LocalAddr().String(); got != want {
			t.Errorf("Remote is %s, want %s", got, want)
		}
		if got, want := Local(fd).String(), peer.RemoteAddr().String(); got != want {
			t.Errorf("Local is %s, want %s", got, want)
		}
	}
}

func acceptSoon(ln int) (fd int, err error) {
	for range 1000 {
		if fd, _, err = unix.Accept(ln); err != unix.EAGAIN {
			return fd, err
		}
		time.Sleep(time.Millisecond)
	}
	return fd, err
}

// Remote comes with every accepted connection, and allocates nothing for IPv4 nor for IPv6.
func TestRemoteAllocatesNothing(t *testing.T) {
	for _, addr := range loopbacks() {
		ln, err := net.Listen("tcp", addr.String())
		must(t, "Listen", err)
		defer ln.Close()
		fd := open(t, addr.Addr())
		to, err := sockaddr(netip.MustParseAddrPort(ln.Addr().String()))
		must(t, "sockaddr", err)
		if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
		if got := Remote(fd).String(); got != ln.Addr().String() {
			t.Errorf("Remote is %s, want %v", got, ln.Addr())
		}
		if n := testing.AllocsPerRun(100, func() { Remote(fd) }); n != 0 && runtime.GOOS == "linux" {
			t.Errorf("%v: %v allocations", addr, n)
		}
	}
}

// An IPv4 address is one also where an IPv6 socket has it.
func TestMappedAddress(t *testing.T) {
	mapped := netip.MustParseAddr("::ffff:192.0.2.7").As16()
	if got := zoned(mapped, 0); got != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("it is %v", got)
	}
	if got := zoned(mapped, 3); got != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("with a zone it is %v", got)
	}
}

// Zones are interfaces' names, or numbers where there is no such interface.
func TestZones(t *testing.T) {
	local := netip.MustParseAddr("fe80::1").As16()
	if got := zoned(local, 4_000_000); got.Zone() != "4000000" {
		t.Errorf("zone 4000000 is %q", got.Zone())
	}
	list, err := net.Interfaces()
	must(t, "Interfaces", err)
	for _, i := range list {
		if got := zoned(local, uint32(i.Index)); got.Zone() != i.Name {
			t.Errorf("zone %d is %q, want %q", i.Index, got.Zone(), i.Name)
		}
		if n, err := zoneIndex(i.Name); n != uint32(i.Index) || err != nil {
			t.Errorf("zone %q is %d, %v, want %d", i.Name, n, err, i.Index)
		}
	}
	if n, err := zoneIndex("77"); n != 77 || err != nil {
		t.Errorf("zone 77 is %d, %v", n, err)
	}
	addr := netip.MustParseAddrPort("[fe80::1%nosuch]:1")
	if _, err := Raw(nil, addr); err == nil || !strings.Contains(err.Error(), `"nosuch"`) {
		t.Errorf("Raw of an unknown zone: %v", err)
	}
	if err := Bind(-1, addr); err == nil || !strings.Contains(err.Error(), `"nosuch"`) {
		t.Errorf("Bind to an unknown zone: %v", err)
	}
}

// Raw appends, and makes what connect(2) takes.
func TestRaw(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:258", "[2001:db8::1]:258"} {
		raw, err := Raw([]byte("before"), netip.MustParseAddrPort(addr))
		must(t, "Raw", err)
		if string(raw[:6]) != "before" {
			t.Errorf("Raw does not append: %q", raw)
		}
		raw = raw[6:]
		want := map[bool]int{true: unix.SizeofSockaddrInet4, false: unix.SizeofSockaddrInet6}[addr[0] != '[']
		if len(raw) != want || raw[2] != 1 || raw[3] != 2 {
			t.Errorf("%s is % x", addr, raw)
		}
	}
}

// Errors name the call.
func TestErrors(t *testing.T) {
	if err := SetInt(-1, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err == nil || err.Error() != "setsockopt: bad file descriptor" {
		t.Errorf("SetInt: %v", err)
	}
	if err := Bind(-1, netip.MustParseAddrPort("127.0.0.1:0")); err == nil || err.Error() != "bind: bad file descriptor" {
		t.Errorf("Bind: %v", err)
	}
	if addr := Local(-1); addr.IsValid() {
		t.Errorf("Local of nothing is %v", addr)
	}
	if addr := Remote(-1); addr.IsValid() {
		t.Errorf("Remote of nothing is %v", addr)
	}
}

// KeepAlive turns probes on, off, and sets when they begin, in whole seconds upwards.
func TestKeepAlive(t *testing.T) {
	fd := open(t, netip.MustParseAddr("127.0.0.1"))
	for _, c := range []struct {
		idle time.Duration
		on   bool
		secs int
	}{
		{15 * time.Second, true, 15},
		{-1, false, 0},
		{time.Millisecond, true, 1},
		{1500 * time.Millisecond, true, 2},
	} {
		must(t, "KeepAlive", KeepAlive(fd, c.idle))
		on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		if err != nil || (on != 0) != c.on {
			t.Errorf("KeepAlive(%v): SO_KEEPALIVE is %d, %v", c.idle, on, err)
		}
		if keepIdle == 0 || !c.on {
			continue
		}
		secs, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, keepIdle)
		if err != nil || secs != c.secs {
			t.Errorf("KeepAlive(%v): idle for %d s, %v, want %d", c.idle, secs, err, c.secs)
		}
	}
}
