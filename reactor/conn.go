package reactor

import (
	"io"
	"net"
	"net/netip"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/sock"
	"github.com/eyewall/eyewall/internal/timers"
)

// Conn is a handle on a connection of a loop: a small value to be passed and copied, which implements net.Conn. Once the
// connection is closed every copy gives ErrClosed, and none ever names another connection, though the loop uses the
// memory again.
//
// Its methods are for tasks of the loop; several may use one connection at once. Unlike package net's, it is not for
// other goroutines, whose calls get ErrWrongGoroutine: Shared makes one that is. Methods that wait end early with
// ErrCanceled or ErrDeadline and leave it usable: no byte is lost by that. Errors but io.EOF are *net.OpError.
type Conn struct {
	c          *conn
	generation uint32
	unix       bool // as the connection's, which is forgotten when that is closed
}

// conn is what a loop knows of a connection. The loop uses it again after its last completion is in. What an idle
// connection does not need lies elsewhere.
type conn struct {
	loop *Loop // never changes: any goroutine may ask it whether it is elsewhere
	connState
}

// connState is the loop's.
type connState struct {
	fd         int32  // -1 while it is spare
	generation uint32 // of handles on it

	receiving bool // the multishot receive is in flight
	pausing   bool // and has been canceled, since too much is unread
	eof       bool // the end of the stream comes after in
	sending   bool // a send is in flight
	shut      bool // CloseWrite was called
	closing   bool // Close was called
	shutting  bool // the descriptor is being closed
	lazy      bool // the handler is called when something has come
	calling   bool // its handler is at work, or due
	touched   bool // something was received, or the stream ended, since the handler was called
	took      bool // something was read since then
	vain      bool // the handler was called again for what it had left, and took nothing
	isDirty   bool // it is in the loop's list of those with output to be submitted
	isUnread  bool // it is in the loop's list of those with lent input that nobody reads
	unix      bool // it is a Unix socket's, and has no peer

	peerPort uint16
	lent     *chunk // what Next has lent

	handler func(Conn) error // its server's; nil without one
	readers waitQueue

	in        *chunk // the last that was received and not read; its next is the first
	recvToken backend.Token
	out       *output // nil while nothing is written and not sent
	rare      *rare   // nil while it has none of what lies there
	peer      netip.Addr

	next *conn // in the loop's list of spare ones
}

// rare is what few connections have.
type rare struct {
	readErr     error // comes after in; io.EOF is told by eof
	writeErr    error // of a send, reported from then on
	told        bool  // somebody was told of writeErr
	cut         bool  // readErr is to be writeErr once the receive that is in flight has ended
	unsent      int   // bytes that were gathered and are lost
	fileErr     error // of the sending of a file, for the task that waits for it
	read, write deadline
	linger      timers.Timer[expirer] // bounds the sending after Close
	bulk        uint8                 // large pieces that Splice has sent on since the last small one
	splices     int32                 // that have taken input, which they may put back
	next        *rare                 // in the loop's list of spare ones
}

// more is the connection's rare, to write to.
func (c *conn) more() *rare {
	if c.rare == nil {
		l := c.loop
		if c.rare = l.spareRare; c.rare == nil {
			c.rare = new(rare)
		} else {
			l.spareRare, c.rare.next = c.rare.next, nil
		}
	}
	return c.rare
}

// readErr is what ends the input, after what is unread; nil while nothing does.
func (c *conn) readErr() error {
	switch {
	case c.eof:
		return io.EOF
	case c.rare != nil:
		return c.rare.readErr
	}
	return nil
}

func (c *conn) writeErr() error {
	if c.rare == nil {
		return nil
	}
	return c.rare.writeErr
}

// newConn takes over a connected descriptor.
func (l *Loop) newConn(fd int, remote netip.AddrPort) *conn {
	c := l.spareConns
	if c == nil {
		c = l.conns.get()
		c.loop, c.generation = l, 1
	} else {
		l.spareConns, c.next = c.next, nil
	}
	c.fd, c.peer, c.peerPort = int32(fd), remote.Addr(), remote.Port()
	l.open++
	if l.debug != nil {
		l.debug.opens(c)
	}
	return c
}

// newUnixConn takes over a connected descriptor of a Unix socket, whose addresses are asked for when they are needed.
func (l *Loop) newUnixConn(fd int) *conn {
	c := l.newConn(fd, netip.AddrPort{})
	c.unix = true
	return c
}

// newAccepted takes over an accepted descriptor.
func (l *Loop) newAccepted(fd int, unix bool) *conn {
	if unix {
		return l.newUnixConn(fd)
	}
	return l.newConn(fd, sock.Remote(fd))
}

func (c *conn) remote() netip.AddrPort { return netip.AddrPortFrom(c.peer, c.peerPort) }

func (c *conn) handle() Conn { return Conn{c, c.generation, c.unix} }

// enter checks that the connection is open and a task is running, and returns both. With an error the conn is for
// wrap only.
func (h Conn) enter() (*conn, *task, error) {
	c := h.c
	if c == nil {
		return nil, nil, ErrClosed
	}
	if c.loop.elsewhere() {
		return h.closed(), nil, ErrWrongGoroutine
	}
	t, err := c.loop.entered()
	switch {
	case c.generation != h.generation: // perhaps since a moment ago
		return h.closed(), nil, ErrClosed
	case err != nil:
		return c, nil, err
	}
	return c, t, nil
}

// open checks that the connection is open, for a call that does not wait. With an error the conn is for wrap only.
func (h Conn) open() (*conn, error) {
	c := h.c
	switch {
	case c == nil:
		return nil, ErrClosed
	case c.loop.elsewhere():
		return h.closed(), ErrWrongGoroutine
	case c.generation != h.generation:
		return h.closed(), ErrClosed
	}
	return c, nil
}

func (h Conn) mustBeHere() {
	if h.c != nil {
		h.c.loop.mustBeHere()
	}
}

// Task is the task that is running on the connection's loop, which the handler of Serve or Handle is part of; the
// zero Task if none is.
func (h Conn) Task() Task {
	if h.mustBeHere(); h.c == nil || h.c.loop.running == nil {
		return Task{}
	}
	return h.c.loop.running.task()
}

// FD is the descriptor, or -1 once the connection is closed, and to other goroutines. It stays the connection's: to
// read or write it on the side takes bytes out of their order.
func (h Conn) FD() int {
	c, err := h.open()
	if err != nil {
		return -1
	}
	return int(c.fd)
}

// LocalAddr is the connection's own address, a *net.TCPAddr or *net.UnixAddr. Once the connection is closed, and to
// other goroutines, it is an empty one of the same type: keep an address that is needed longer. Of a net.Conn the
// address stays.
func (h Conn) LocalAddr() net.Addr {
	c, err := h.open()
	if err != nil {
		return h.noAddr()
	}
	return c.localAddr()
}

// noAddr is the address of a connection that is closed.
func (h Conn) noAddr() net.Addr {
	if h.unix {
		return &net.UnixAddr{Net: unixNetwork}
	}
	return new(net.TCPAddr)
}

func (c *conn) localAddr() net.Addr {
	if c.unix {
		return sock.LocalUnix(int(c.fd))
	}
	return net.TCPAddrFromAddrPort(sock.Local(int(c.fd)))
}

// RemoteAddr is the peer's address, a *net.TCPAddr or *net.UnixAddr. Once the connection is closed, and to other
// goroutines, it is an empty one of the same type, as for LocalAddr. On Linux that of a peer which was gone before the
// connection was accepted is known, too; elsewhere it is empty.
func (h Conn) RemoteAddr() net.Addr {
	c, err := h.open()
	if err != nil {
		return h.noAddr()
	}
	return c.remoteAddr()
}

func (c *conn) remoteAddr() net.Addr {
	if c.unix {
		return sock.RemoteUnix(int(c.fd))
	}
	return net.TCPAddrFromAddrPort(c.remote())
}

var _ net.Conn = Conn{}
