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
// Its methods are for tasks of the loop; several may use one connection at once. Those that wait end early with
// ErrCanceled or ErrDeadline and leave it usable: no byte is lost by that. Errors but io.EOF are *net.OpError.
type Conn struct {
	c          *conn
	generation uint32
}

// conn is what a loop knows of a connection. The loop uses it again after its last completion is in. What an idle
// connection does not need lies elsewhere.
type conn struct {
	loop       *Loop
	fd         int32  // -1 while it is spare
	generation uint32 // of handles on it

	receiving bool // the multishot receive is in flight
	pausing   bool // and has been canceled, since too much is unread
	eof       bool // the end of the stream comes after in
	sending   bool // a send is in flight
	direct    bool // that one is of a writer's own bytes, and the writer waits for it
	shut      bool // CloseWrite was called
	closing   bool // Close was called
	shutting  bool // the descriptor is being closed
	lazy      bool // the handler is called when something has come
	calling   bool // its handler is at work, or due
	touched   bool // something was received or read, or the stream ended, since the handler was called
	isDirty   bool // it is in the loop's list of those with output to be submitted
	isUnread  bool // it is in the loop's list of those with lent input that nobody reads
	unix      bool // it is a Unix socket's, and has no peer

	peerPort uint16
	lent     backend.Lease // what Next has lent
	inBytes  uint32        // in in

	handler          func(Conn) error // its server's; nil without one
	readers, writers waitList

	in        *chunk // received and not read
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
	fileErr     error // of the sending of a file, for the task that waits for it
	read, write deadline
	linger      timers.Timer[expirer] // bounds the sending after Close
	bulk        uint8                 // large pieces that Splice has sent on since the last small one
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

func (c *conn) handle() Conn { return Conn{c, c.generation} }

// enter checks that the connection is open and a task is running, and returns both.
func (h Conn) enter() (*conn, *task, error) {
	c := h.c
	if c == nil || c.generation != h.generation {
		return nil, nil, ErrClosed
	}
	t := c.loop.running
	if t == nil {
		return c, nil, ErrNotTask
	}
	return c, t, nil
}

// wait parks t in list once, unless it must not wait. After it the connection may be closed, and c another's.
func (h Conn) wait(list *waitList, t *task) error {
	if t.canceled {
		return t.refused()
	}
	list.wait(t)
	if h.c.generation != h.generation {
		return ErrClosed
	}
	return nil
}

// Task is the task that is running on the connection's loop, which the handler of Serve or Handle is part of; the
// zero Task if none is.
func (h Conn) Task() Task {
	if h.c == nil || h.c.loop.running == nil {
		return Task{}
	}
	return h.c.loop.running.task()
}

// FD is the descriptor, or -1 once the connection is closed. It stays the connection's; what reads or writes it on the
// side takes bytes out of their order.
func (h Conn) FD() int {
	if h.c == nil || h.c.generation != h.generation {
		return -1
	}
	return int(h.c.fd)
}

// LocalAddr is the connection's own address, a *net.TCPAddr or *net.UnixAddr; the zero TCPAddr once it is closed.
func (h Conn) LocalAddr() net.Addr {
	c := h.c
	if c == nil || c.generation != h.generation {
		return new(net.TCPAddr)
	}
	return c.localAddr()
}

func (c *conn) localAddr() net.Addr {
	if c.unix {
		return sock.LocalUnix(int(c.fd))
	}
	return net.TCPAddrFromAddrPort(sock.Local(int(c.fd)))
}

// RemoteAddr is the peer's address, a *net.TCPAddr or *net.UnixAddr; the zero TCPAddr once the connection is closed,
// or where the peer was gone before it could be asked for.
func (h Conn) RemoteAddr() net.Addr {
	if h.c == nil || h.c.generation != h.generation {
		return new(net.TCPAddr)
	}
	return h.c.remoteAddr()
}

func (c *conn) remoteAddr() net.Addr {
	if c.unix {
		return sock.RemoteUnix(int(c.fd))
	}
	return net.TCPAddrFromAddrPort(c.remote())
}

var _ net.Conn = Conn{}
