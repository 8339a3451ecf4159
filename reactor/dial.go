package reactor

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/sock"
)

// Dialer is how connections are made. The zero Dialer is right for most. A KeepAlive that the system cannot hold is an
// error; net.Dialer says nothing then. httptrace's events of connecting (ConnectStart, ConnectDone) do not come: only
// those of the resolver do.
type Dialer struct {
	Timeout       time.Duration // of the whole, with the looking up of a name (0: the system's for each address)
	LocalAddr     net.Addr      // *net.TCPAddr or *net.UnixAddr, to dial from (nil: the system chooses)
	Delay         bool          // small segments wait for one another (TCP_NODELAY off)
	KeepAlive     time.Duration // idle time of a TCP connection before a probe (default 15 s); negative for none
	FallbackDelay time.Duration // until the next address is tried, too (default 250 ms); negative: once the last has failed
	Resolver      *net.Resolver // of names (nil: net.DefaultResolver)

	// Control is called with each socket before it is connected, to set more options: network is "tcp4", "tcp6" or "unix",
	// and c's Control gives the descriptor. It must not wait. See net.Dialer.
	Control func(network, address string, c syscall.RawConn) error
}

const defaultFallbackDelay = 250 * time.Millisecond // RFC 8305, 5

// Dial connects to a TCP address, or a Unix socket. See Dialer.Dial.
func Dial(t Task, network, address string) (Conn, error) {
	return new(Dialer).Dial(t, network, address)
}

// Dial connects to a TCP address, or a Unix socket. network is "tcp", "tcp4", "tcp6" or "unix"; address is as in
// net.Dial, and for a Unix socket a path or on Linux an abstract name, which begins with '@'. An empty host or an
// unspecified address is this machine's: 127.0.0.1, with "tcp6" ::1, and first ::1, then 127.0.0.1, for "[::]" with
// "tcp".
//
// A name is looked up without holding up the loop. Its addresses are tried with the families in turn, each
// FallbackDelay after the one before, or as soon as that has failed; the first to connect is taken, and the others
// are closed (RFC 8305). The resolver gets the values of Task.Context. Task.With, Task.Timeout and Task.Cancel end
// the dialing, with their cause. Errors are *net.OpError, of the address that failed first; but if that is of a
// family that this system cannot reach it with, of the first one of the other family. If Timeout is over they are a
// timeout that wraps ErrDeadline.
func (d *Dialer) Dial(t Task, network, address string) (Conn, error) {
	s, err := t.current()
	if err == nil {
		err = s.refused()
	}
	if err != nil {
		return Conn{}, d.wrap(network, nil, err)
	}
	if d.Timeout == 0 {
		return d.dial(t, network, address)
	}
	var c Conn
	err = t.Timeout(d.Timeout, func() (err error) {
		c, err = d.dial(t, network, address)
		return err
	})
	return c, err
}

func (d *Dialer) dial(t Task, network, address string) (Conn, error) {
	if address == "" && (network == unixNetwork || checkNetwork(network) == nil) {
		return Conn{}, d.wrap(network, nil, errNoAddress)
	}
	if network == unixNetwork {
		return d.race(t, network, []place{{name: address, unix: true}})
	}
	addrs, err := t.resolve(cmp.Or(d.Resolver, net.DefaultResolver), network, address)
	if err == nil {
		addrs, err = d.suitable(addrs, address)
	}
	if err != nil {
		return Conn{}, d.wrap(network, nil, err)
	}
	places := make([]place, len(addrs))
	for i, addr := range inTurn(addrs) {
		places[i].ip = loopback(addr)
	}
	return d.race(t, network, places)
}

var errNoAddress = errors.New("missing address")

// place is where a connection goes to.
type place struct {
	ip   netip.AddrPort
	name string
	unix bool // it is a Unix socket, called name
}

func (p *place) addr() net.Addr {
	if p.unix {
		return &net.UnixAddr{Name: p.name, Net: unixNetwork}
	}
	return net.TCPAddrFromAddrPort(p.ip)
}

// socket makes a socket for p, and p's raw address.
func (d *Dialer) socket(p *place) (fd int, raw []byte, err error) {
	if p.unix {
		raw, err = sock.RawUnix(nil, p.name)
	} else {
		raw, err = sock.Raw(nil, p.ip)
	}
	if err != nil {
		return -1, nil, err
	}
	if p.unix {
		fd, err = sock.NewUnix()
	} else {
		fd, err = sock.New(p.ip.Addr())
	}
	if err != nil {
		return -1, nil, err
	}
	if err := orClose(fd, func() error { return d.setUp(fd, p) }); err != nil {
		return -1, nil, err
	}
	return fd, raw, nil
}

// setUp sets what accepted sockets have from their listener, and binds to LocalAddr.
func (d *Dialer) setUp(fd int, p *place) error {
	if p.unix {
		if err := control(d.Control, fd, unixNetwork, p.name); err != nil {
			return err
		}
		switch local := d.LocalAddr.(type) {
		case nil:
			return nil
		case *net.UnixAddr:
			if local == nil || local.Name == "" {
				return nil
			}
			return sock.BindUnix(fd, local.Name)
		}
		return mismatched(d.LocalAddr)
	}
	if err := sock.SetInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, boolInt(!d.Delay)); err != nil {
		return err
	}
	if err := sock.KeepAlive(fd, orDefault(d.KeepAlive, defaultKeepAlive)); err != nil {
		return err
	}
	if err := control(d.Control, fd, tcpNetwork(p.ip), p.ip.String()); err != nil || d.LocalAddr == nil {
		return err
	}
	local := d.local()
	if !local.Addr().IsValid() || local.Addr().IsUnspecified() {
		any := netip.IPv6Unspecified()
		if p.ip.Addr().Is4() {
			any = netip.IPv4Unspecified()
		}
		local = netip.AddrPortFrom(any, local.Port())
	}
	return sock.Bind(fd, local)
}

// local is LocalAddr, where that is a TCP address.
func (d *Dialer) local() netip.AddrPort {
	if local, ok := d.LocalAddr.(*net.TCPAddr); ok {
		at := local.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	return netip.AddrPort{}
}

// suitable is those of addrs that can be dialed from LocalAddr.
func (d *Dialer) suitable(addrs []netip.AddrPort, address string) ([]netip.AddrPort, error) {
	if d.LocalAddr == nil {
		return addrs, nil
	}
	if _, ok := d.LocalAddr.(*net.TCPAddr); !ok {
		return nil, mismatched(d.LocalAddr)
	}
	local := d.local().Addr()
	if !local.IsValid() || local.IsUnspecified() {
		return addrs, nil
	}
	var found []netip.AddrPort
	for _, addr := range addrs {
		if addr.Addr().Is4() == local.Is4() {
			found = append(found, addr)
		}
	}
	if found == nil {
		return nil, &net.AddrError{Err: "no suitable address", Addr: address}
	}
	return found, nil
}

func mismatched(local net.Addr) error {
	return &net.AddrError{Err: "mismatched local address type", Addr: local.String()}
}

// inTurn is addrs with their families in turn, that of the first one first (RFC 8305, 4).
func inTurn(addrs []netip.AddrPort) []netip.AddrPort {
	var lists [2][]netip.AddrPort
	for _, addr := range addrs {
		other := boolInt(addr.Addr().Is4() != addrs[0].Addr().Is4())
		lists[other] = append(lists[other], addr)
	}
	sorted := addrs[:0:0]
	for i := 0; len(sorted) < len(addrs); i = 1 - i {
		if len(lists[i]) > 0 {
			sorted = append(sorted, lists[i][0])
			lists[i] = lists[i][1:]
		}
	}
	return sorted
}

// loopback makes the unspecified address, which an empty host stands for, this machine's.
func loopback(addr netip.AddrPort) netip.AddrPort {
	switch addr.Addr() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
	return addr
}

// wrap makes err an *net.OpError of dialing p, which may be nil.
func (d *Dialer) wrap(network string, p *place, err error) error {
	if errno, ok := err.(unix.Errno); ok {
		err = os.NewSyscallError("connect", errno)
	}
	switch err {
	case context.DeadlineExceeded:
		err = errTimeout
	case context.Canceled:
		err = errCanceled
	}
	e := &net.OpError{Op: "dial", Net: network, Source: d.LocalAddr, Err: err}
	if p != nil {
		e.Addr = p.addr()
	}
	return e
}

// Package net's errors in place of a context's: their texts tell of no context.
var (
	errTimeout  error = timeoutError{}
	errCanceled error = canceledError{}
)

type canceledError struct{}

func (canceledError) Error() string        { return "operation was canceled" }
func (canceledError) Is(target error) bool { return target == context.Canceled }

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
func (timeoutError) Is(target error) bool {
	return target == context.DeadlineExceeded || target == ErrDeadline
}
