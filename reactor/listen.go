package reactor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/sock"
)

// ListenConfig is how a listener and the connections that it accepts are set up: once, on the listening socket, for
// accepted sockets inherit its options. The zero ListenConfig is right for most servers.
type ListenConfig struct {
	Backlog    int           // connections that may wait to be accepted (default 4096); the system may allow fewer
	ReusePort  bool          // several listeners on one address share its connections (SO_REUSEPORT)
	Delay      bool          // small segments wait for one another (TCP_NODELAY off)
	KeepAlive  time.Duration // idle time of a TCP connection before a probe (default 15 s); negative for none
	ReadBuffer int           // bytes of the kernel's receive buffer (SO_RCVBUF; default the system's)
	SendBuffer int           // bytes of the kernel's send buffer (SO_SNDBUF; default the system's)

	// Control is called with each socket before it is bound, to set more options: network is "tcp4", "tcp6" or "unix", and
	// c's Control gives the descriptor. It must not wait. See net.ListenConfig.
	Control func(network, address string, c syscall.RawConn) error

	// share is ReusePort for the first of several listeners: it is set after binding, so that an address which others
	// share already counts as in use.
	share bool
}

const (
	defaultBacklog   = 4096
	defaultKeepAlive = 15 * time.Second
)

// Listen listens on a TCP address, or a Unix socket, for the task's loop. See ListenConfig.Listen.
func Listen(t Task, network, address string) (*Listener, error) {
	return new(ListenConfig).Listen(t, network, address)
}

// Listen listens on a TCP address, or a Unix socket, for the task's loop. network is "tcp", "tcp4", "tcp6" or "unix";
// address is as in net.Listen. For TCP an empty host or an unspecified address, be it 0.0.0.0 or ::, means all
// addresses, of both families with "tcp", and port 0 a free one, which Addr tells; of a name it is the first IPv4
// address, or else the first. For a Unix socket it is a path, whose file is removed when the listener is closed, or
// on Linux an abstract name, which begins with '@'; see unix(7). Errors are *net.OpError.
func (cfg *ListenConfig) Listen(t Task, network, address string) (*Listener, error) {
	s, err := t.current()
	if err == nil {
		err = s.refused()
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	var ln *Listener
	if network == unixNetwork {
		ln, err = cfg.listenUnix(address)
	} else {
		var addrs []netip.AddrPort
		if addrs, err = t.resolve(net.DefaultResolver, network, address); err != nil {
			return nil, &net.OpError{Op: "listen", Net: network, Err: err}
		}
		ln, err = cfg.listen(network, addrs)
	}
	if err != nil {
		return nil, err
	}
	s.loop.addListener(ln)
	if s.loop.debug != nil {
		s.loop.debug.opensListener(ln)
	}
	return ln, nil
}

// listen makes a listener on one of addrs. It belongs to no loop yet.
func (cfg *ListenConfig) listen(network string, addrs []netip.AddrPort) (ln *Listener, err error) {
	var fd int
	var addr netip.AddrPort
	for _, addr = range toListenOn(network, addrs) {
		fd, err = cfg.listenOn(network, addr)
		if !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			break
		}
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.TCPAddrFromAddrPort(addr), Err: err}
	}
	return &Listener{fd: fd, addr: net.TCPAddrFromAddrPort(sock.Local(fd))}, nil
}

// toListenOn is the address to listen on, of those that a host has, as package net chooses it: the first IPv4 one, or
// else the first. All addresses of both families are IPv6's, or IPv4's if the system is not set up for that.
func toListenOn(network string, addrs []netip.AddrPort) []netip.AddrPort {
	at := addrs[max(0, slices.IndexFunc(addrs, func(a netip.AddrPort) bool { return a.Addr().Is4() }))]
	if network == "tcp" && at.Addr().IsUnspecified() {
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port()),
			netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()),
		}
	}
	return []netip.AddrPort{at}
}

// listenUnix makes a listener on a Unix socket. It belongs to no loop yet.
func (cfg *ListenConfig) listenUnix(name string) (*Listener, error) {
	fd, err := sock.NewUnix()
	if err == nil {
		err = orClose(fd, func() error { return cfg.setUpUnix(fd, name) })
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: unixNetwork, Addr: &net.UnixAddr{Name: name, Net: unixNetwork}, Err: err}
	}
	addr := sock.LocalUnix(fd)
	return &Listener{fd: fd, addr: addr, unix: true, file: socketFile(addr)}, nil
}

// socketFile is the path of the file that a listening Unix socket has; empty where it has none.
func socketFile(addr *net.UnixAddr) string {
	if addr.Name == "" || addr.Name[0] == '@' { // as package net takes it, also where there are no abstract names
		return ""
	}
	return addr.Name
}

// check returns an error for a setting that no listener can have.
func (cfg *ListenConfig) check() error {
	for _, field := range []struct {
		name  string
		value int
	}{{"Backlog", cfg.Backlog}, {"ReadBuffer", cfg.ReadBuffer}, {"SendBuffer", cfg.SendBuffer}} {
		if field.value < 0 {
			return fmt.Errorf("ListenConfig.%s is %d; it must not be negative (0 is the default)", field.name, field.value)
		}
	}
	return nil
}

func (cfg *ListenConfig) setUpUnix(fd int, name string) error {
	if err := cfg.check(); err != nil {
		return err
	}
	if err := cfg.setBuffers(fd); err != nil {
		return err
	}
	if err := control(cfg.Control, fd, unixNetwork, name); err != nil {
		return err
	}
	if err := sock.BindUnix(fd, name); err != nil {
		return err
	}
	return os.NewSyscallError("listen", unix.Listen(fd, orDefault(cfg.Backlog, defaultBacklog)))
}

func (cfg *ListenConfig) setBuffers(fd int) error {
	if cfg.ReadBuffer > 0 {
		if err := sock.SetInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.ReadBuffer); err != nil {
			return err
		}
	}
	if cfg.SendBuffer > 0 {
		return sock.SetInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, cfg.SendBuffer)
	}
	return nil
}

func (cfg *ListenConfig) listenOn(network string, addr netip.AddrPort) (int, error) {
	fd, err := sock.New(addr.Addr())
	if err != nil {
		return -1, err
	}
	if err := orClose(fd, func() error { return cfg.setUp(fd, network, addr) }); err != nil {
		return -1, withZone(addr.Addr(), err)
	}
	return fd, nil
}

func (cfg *ListenConfig) setUp(fd int, network string, addr netip.AddrPort) error {
	if err := cfg.check(); err != nil {
		return err
	}
	for _, o := range []struct {
		level, option, value int
		wanted               bool
	}{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, true}, // or a restart would wait for old connections' TIME-WAIT
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, !cfg.Delay},
		{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, boolInt(network == "tcp6"), addr.Addr().Is6()},
	} {
		if !o.wanted {
			continue
		}
		if err := sock.SetInt(fd, o.level, o.option, o.value); err != nil {
			return err
		}
	}
	if err := cfg.setBuffers(fd); err != nil {
		return err
	}
	if cfg.ReusePort {
		if err := sock.ReusePort(fd); err != nil {
			return err
		}
	}
	if err := sock.KeepAlive(fd, orDefault(cfg.KeepAlive, defaultKeepAlive)); err != nil {
		return err
	}
	if err := control(cfg.Control, fd, tcpNetwork(addr), addr.String()); err != nil {
		return err
	}
	if err := sock.Bind(fd, addr); err != nil {
		return err
	}
	if cfg.share {
		if err := sock.ReusePort(fd); err != nil {
			return err
		}
	}
	return os.NewSyscallError("listen", unix.Listen(fd, orDefault(cfg.Backlog, defaultBacklog)))
}

func orDefault[T int | time.Duration](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

const unixNetwork = "unix"

// checkNetwork says which networks there are, but for unixNetwork, whose addresses need no looking up.
func checkNetwork(network string) error {
	switch network {
	case "tcp", "tcp4", "tcp6":
		return nil
	}
	return fmt.Errorf("%w; it must be tcp, tcp4, tcp6 or unix", net.UnknownNetworkError(network))
}
