// This file is added to package net: what the code that stdnet inserts there calls.

package net

import (
	"context"
	"errors"
	"internal/synctest"
	"io"
	"os"
	"syscall"
	"time"
)

// What makes connections and listeners in place of package net; an init function of the suite sets them.
var (
	EyewallDial   func(ctx context.Context, d *Dialer, network, address string) (EyewallConn, error)
	EyewallListen func(ctx context.Context, lc *ListenConfig, network, address string) (EyewallListener, error)
)

// EyewallConn is what a *TCPConn or a *UnixConn can stand for.
type EyewallConn interface {
	Conn
	io.ReaderFrom
	io.WriterTo
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	File() (*os.File, error)
	SetKeepAlive(keepalive bool) error
	SetKeepAliveConfig(config KeepAliveConfig) error
	SetKeepAlivePeriod(d time.Duration) error
	SetLinger(sec int) error
	SetNoDelay(noDelay bool) error
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

// EyewallListener is what a *TCPListener or a *UnixListener can stand for.
type EyewallListener interface {
	Listener
	syscall.Conn
	File() (*os.File, error)
	SetDeadline(t time.Time) error
	SetUnlinkOnClose(unlink bool)
}

// eyewallConn has the methods that differ from package net's in their types.
type eyewallConn struct{ EyewallConn }

func (c *eyewallConn) ReadFrom(r io.Reader) (int64, error) {
	lr, ok := r.(*io.LimitedReader)
	if !ok {
		return c.EyewallConn.ReadFrom(eyewallReader(r))
	}
	inner := &io.LimitedReader{R: eyewallReader(lr.R), N: lr.N}
	n, err := c.EyewallConn.ReadFrom(inner)
	lr.N = inner.N
	return n, err
}

func (c *eyewallConn) WriteTo(w io.Writer) (int64, error) {
	if alt := eyewallBehind(w); alt != nil {
		w = alt
	}
	return c.EyewallConn.WriteTo(w)
}

// writeBuffers is Buffers.WriteTo for connections other than package net's.
func (c *eyewallConn) writeBuffers(v *Buffers) (int64, error) {
	return v.WriteTo(struct{ io.Writer }{c.EyewallConn})
}

func (c *eyewallConn) MultipathTCP() (bool, error) { return false, nil }

// eyewallUnixConn has a Unix connection's methods for datagrams, which are not for streams.
type eyewallUnixConn struct{ *eyewallConn }

func (c eyewallUnixConn) refuse(op string) error {
	return &OpError{Op: op, Net: "unix", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: errors.ErrUnsupported}
}

func (c eyewallUnixConn) ReadFrom([]byte) (int, Addr, error) { return 0, nil, c.refuse("read") }
func (c eyewallUnixConn) ReadFromUnix([]byte) (int, *UnixAddr, error) {
	return 0, nil, c.refuse("read")
}
func (c eyewallUnixConn) WriteTo([]byte, Addr) (int, error)          { return 0, c.refuse("write") }
func (c eyewallUnixConn) WriteToUnix([]byte, *UnixAddr) (int, error) { return 0, c.refuse("write") }

func (c eyewallUnixConn) ReadMsgUnix(_, _ []byte) (n, oobn, flags int, addr *UnixAddr, err error) {
	return 0, 0, 0, nil, c.refuse("read")
}

func (c eyewallUnixConn) WriteMsgUnix(_, _ []byte, _ *UnixAddr) (n, oobn int, err error) {
	return 0, 0, c.refuse("write")
}

// eyewallListener has the methods that differ from package net's in their types.
type eyewallListener struct {
	EyewallListener
	network string
}

func (ln *eyewallListener) Accept() (Conn, error) {
	c, err := ln.EyewallListener.Accept()
	if err != nil {
		return nil, err
	}
	return eyewallWrap(c.(EyewallConn), ln.network), nil
}

func (ln *eyewallListener) AcceptTCP() (*TCPConn, error) {
	c, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	return c.(*TCPConn), nil
}

func (ln *eyewallListener) AcceptUnix() (*UnixConn, error) {
	c, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	return c.(*UnixConn), nil
}

// eyewallBehind is the connection that a *TCPConn or a *UnixConn stands for, or nil.
func eyewallBehind(c any) EyewallConn {
	var fd *netFD
	switch c := c.(type) {
	case *TCPConn:
		fd = c.fd
	case tcpConnWithoutReadFrom:
		fd = c.fd
	case tcpConnWithoutWriteTo:
		fd = c.fd
	case *UnixConn:
		fd = c.fd
	}
	if fd == nil || fd.eyewall == nil {
		return nil
	}
	return fd.eyewall.EyewallConn
}

func eyewallReader(r io.Reader) io.Reader {
	if alt := eyewallBehind(r); alt != nil {
		return alt
	}
	return r
}

// eyewallHides reports whether a descriptor that a copy in the kernel would use is not there.
func eyewallHides(fd *netFD, other any) bool {
	if lr, ok := other.(*io.LimitedReader); ok {
		other = lr.R
	}
	return fd.eyewall != nil || eyewallBehind(other) != nil
}

// eyewallFD makes a descriptor whose system calls fail.
func eyewallFD(network string, local, remote Addr) *netFD {
	fd := &netFD{family: syscall.AF_UNIX, sotype: syscall.SOCK_STREAM, net: network, laddr: local, raddr: remote}
	fd.pfd.Sysfd = -1
	if a, ok := local.(*TCPAddr); ok {
		fd.family = a.family()
	}
	return fd
}

func eyewallWrap(c EyewallConn, network string) Conn {
	fd := eyewallFD(network, c.LocalAddr(), c.RemoteAddr())
	fd.isConnected = true
	fd.eyewall = &eyewallConn{c}
	if network == "unix" {
		return &UnixConn{conn{fd}}
	}
	return &TCPConn{conn{fd}}
}

// eyewallHas reports whether eyewall does a network here: not in a bubble of package testing/synctest, in which nobody
// outside of it can wake a goroutine, such as a loop.
func eyewallHas(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return !synctest.IsInBubble()
	}
	return false
}

// eyewallDials reports whether a dial goes through eyewall. Package net's is one of a test that puts a function of its
// own in its place, or asks for Multipath TCP.
func eyewallDials(d *Dialer, network string) bool {
	return EyewallDial != nil && eyewallHas(network) && testHookDialTCP == nil && !d.MultipathTCP()
}

func eyewallDial(ctx context.Context, d *Dialer, network, address string) (Conn, error) {
	c, err := EyewallDial(ctx, d, network, address)
	if err != nil {
		return nil, err
	}
	return eyewallWrap(c, network), nil
}

// eyewallDialFrom dials for a function that has the local address as a parameter. handled is false if the dial is
// package net's.
func eyewallDialFrom[C any](ctx context.Context, dialer *Dialer, network string, laddr Addr, address string) (
	c C, err error, handled bool,
) {
	var d Dialer
	if dialer != nil {
		d = *dialer
	}
	d.LocalAddr = laddr
	if !eyewallDials(&d, network) {
		return c, nil, false
	}
	conn, err := eyewallDial(ctx, &d, network, address)
	if err != nil {
		return c, err, true
	}
	return conn.(C), nil, true
}

// eyewallListens reports whether a listener is made by eyewall. Package net's is one of a test that asks for Multipath
// TCP.
func eyewallListens(lc *ListenConfig, network string) bool {
	return EyewallListen != nil && eyewallHas(network) && lc.mptcpStatus != mptcpEnabledListen
}

func eyewallListen(ctx context.Context, lc *ListenConfig, network, address string) (Listener, error) {
	ln, err := EyewallListen(ctx, lc, network, address)
	if err != nil {
		return nil, err
	}
	fd := eyewallFD(network, ln.Addr(), nil)
	fd.eyewallListener = &eyewallListener{ln, network}
	if network == "unix" {
		return &UnixListener{fd: fd, path: ln.Addr().String(), unlink: true}, nil
	}
	return &TCPListener{fd: fd, lc: *lc}, nil
}

// eyewallListenAt is eyewallListen for a function that gives a certain type.
func eyewallListenAt[L any](network, address string) (ln L, err error) {
	made, err := eyewallListen(context.Background(), new(ListenConfig), network, address)
	if err != nil {
		return ln, err
	}
	return made.(L), nil
}
