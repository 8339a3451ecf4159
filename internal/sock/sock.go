// Package sock makes sockets and turns their addresses from and to the kernel's form, without allocating where a server
// does so for each connection.
package sock

import (
	"cmp"
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// New makes a TCP socket for addr's family, non-blocking and close-on-exec.
func New(addr netip.Addr) (int, error) {
	fd, err := stream(family(addr))
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, nil
}

// SetInt sets an integer option.
func SetInt(fd, level, option, value int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
}

// What package net sets where nobody says otherwise: it takes some two minutes to find out that a peer is gone.
const (
	defaultKeepIdle     = 15 * time.Second
	defaultKeepInterval = 15 * time.Second
	defaultKeepCount    = 9
)

// KeepAlive has the kernel probe a connection that has been idle for that long; never, if it is negative.
func KeepAlive(fd int, idle time.Duration) error {
	cfg := net.KeepAliveConfig{Enable: idle >= 0, Idle: idle}
	if keepIdle == 0 {
		cfg = net.KeepAliveConfig{Enable: idle >= 0, Idle: -1, Interval: -1, Count: -1}
	}
	return SetKeepAlive(fd, cfg)
}

// SetKeepAlive has the kernel probe an idle connection as cfg says. Times are rounded up to whole seconds.
func SetKeepAlive(fd int, cfg net.KeepAliveConfig) error {
	if !cfg.Enable {
		return SetInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
	}
	if err := SetInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		return err
	}
	for _, o := range [...]struct{ option, value int }{
		{keepIdle, seconds(cfg.Idle, defaultKeepIdle)},
		{keepInterval, seconds(cfg.Interval, defaultKeepInterval)},
		{keepCount, cmp.Or(cfg.Count, defaultKeepCount)},
	} {
		switch {
		case o.value < 0: // it is to stay as it is
		case o.option == 0:
			return os.NewSyscallError("setsockopt", unix.ENOPROTOOPT)
		default:
			if err := SetInt(fd, unix.IPPROTO_TCP, o.option, o.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// SetKeepAlivePeriod sets for how long a connection has been idle when it is probed, and nothing else.
func SetKeepAlivePeriod(fd int, idle time.Duration) error {
	return SetKeepAlive(fd, net.KeepAliveConfig{Enable: true, Idle: idle, Interval: -1, Count: -1})
}

// seconds is d in whole seconds, one at least, or negative if d is. A time that no option can hold becomes the
// longest of those, which the system refuses.
func seconds(d, otherwise time.Duration) int {
	if d = cmp.Or(d, otherwise); d < 0 {
		return -1
	}
	s := d / time.Second
	if d%time.Second > 0 {
		s++
	}
	return int(min(s, math.MaxInt32))
}

// Linger sets whether the socket's close drops what is not sent. It never blocks.
func Linger(fd int, drop bool) error {
	var l unix.Linger
	if drop {
		l.Onoff = 1
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
}

// Dup duplicates the descriptor, close-on-exec.
func Dup(fd int) (int, error) {
	// AIX has no F_DUPFD_CLOEXEC: package syscall has F_DUPFD in its place. No child is forked between the two calls.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	dup, err := unix.FcntlInt(uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	unix.CloseOnExec(dup)
	return dup, nil
}

// Local is the address that the socket is bound to; the zero AddrPort if it cannot be told.
func Local(fd int) netip.AddrPort { return local(fd) }

// Remote is the address of the peer; the zero AddrPort if there is none (any more).
func Remote(fd int) netip.AddrPort { return remote(fd) }

// Bind binds the socket to addr.
func Bind(fd int, addr netip.AddrPort) error {
	sa, err := sockaddr(addr)
	if err != nil {
		return err
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sa))
}

func family(addr netip.Addr) int {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(addr netip.AddrPort) (unix.Sockaddr, error) {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}, nil
	}
	zone, err := zoneIndex(addr.Addr().Zone())
	return &unix.SockaddrInet6{Port: int(addr.Port()), ZoneId: zone, Addr: addr.Addr().As16()}, err
}

func parse(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(zoned(sa.Addr, sa.ZoneId), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// zoned makes an IPv6 address; one that stands for an IPv4 address becomes that.
func zoned(addr [16]byte, zone uint32) netip.Addr {
	a := netip.AddrFrom16(addr).Unmap()
	if zone == 0 || a.Is4() {
		return a
	}
	if i, err := net.InterfaceByIndex(int(zone)); err == nil {
		return a.WithZone(i.Name)
	}
	return a.WithZone(strconv.FormatUint(uint64(zone), 10))
}

func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index), nil
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0, errors.New("no network interface called " + strconv.Quote(zone))
	}
	return uint32(n), nil
}

// Listening is the address of a listening stream socket, a *net.TCPAddr or *net.UnixAddr.
func Listening(fd int) (net.Addr, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if kind != unix.SOCK_STREAM || on == 0 && err == nil {
		return nil, errors.New("it is no listening stream socket")
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	if _, ok := sa.(*unix.SockaddrUnix); ok {
		return unixAddr(sa, nil), nil
	}
	if addr := parse(sa); addr.IsValid() {
		return net.TCPAddrFromAddrPort(addr), nil
	}
	return nil, errors.New("it is neither a TCP nor a Unix socket")
}
