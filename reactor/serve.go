package reactor

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/eyewall/eyewall/internal/sock"
)

// Serve listens on a TCP address, or a Unix socket, and runs handle as a task for each connection, until ctx ends; then
// it closes the listener, cancels the tasks (see Loop.Run), closes the connections when what they wrote is sent, and
// returns nil. A connection is closed when its handler returns; an error that the handler returns, other than io.EOF
// itself, goes to WithErrors. A panic ends the server, unless WithPanicsContained, and is the error that Serve returns. network and
// address are as in ListenConfig.Listen.
//
// handle runs on the loop: it must not block but by what waits in tasks. With WithLoops it is called on several loops
// at once.
func Serve(ctx context.Context, network, address string, handle func(Conn) error, opts ...Option) error {
	return serve(ctx, network, address, handle, false, opts)
}

// Handle is Serve with another form of handler: it is called each time there is input, the input has ended or the read
// deadline has passed, and returns when it has dealt with that. It reads at least once, by Next or Read, which do not
// wait then, and returns nil for the connection to go on or an error, such as the one that Next returned, to have it
// closed. It is called again for bytes that it leaves unread, and for an end or a deadline that came during the call. A
// handler that is called again and reads nothing, twice in a row, ends its connection with an error.
//
// All that tasks can do it can, too: where it waits (for more input, a slow peer, Sleep, Dial) it is a task until it
// returns. Where it does not, calling it costs no switch, and an idle connection holds no stack.
func Handle(ctx context.Context, network, address string, handle func(Conn) error, opts ...Option) error {
	return serve(ctx, network, address, handle, true, opts)
}

func serve(ctx context.Context, network, address string, handle func(Conn) error, lazy bool, opts []Option) error {
	if ctx == nil || handle == nil {
		return errors.New("reactor: a server needs a context and a handler")
	}
	if here, _ := loopHere(); here != nil {
		return errRunOnLoop
	}
	g, err := NewGroup(opts...)
	if err != nil {
		return err
	}
	defer g.Close()
	addr, err := g.serve(ctx, network, address, handle, lazy)
	if err != nil {
		return err
	}
	if g.opt.listening != nil {
		g.opt.listening(Listening{Addr: addr, Backend: g.loops[0].Backend(), Loops: len(g.loops), Stats: g.Stats, Dump: g.Dump})
	}
	if g.opt.drain > 0 {
		return g.runAndDrain(ctx)
	}
	return g.run(ctx)
}

// Serve has the group's loops listen on a TCP address, or a Unix socket, and run handle as a task for each
// connection, once the group runs. See the function Serve, which makes a group and runs it; network and address are
// as in ListenConfig.Listen, and ctx bounds the looking up of names. A group may have several servers, each of which
// keeps it running. Once it runs, or is closed, Serve returns ErrLoopRunning.
func (g *Group) Serve(ctx context.Context, network, address string, handle func(Conn) error) (net.Addr, error) {
	return g.serve(ctx, network, address, handle, false)
}

// Handle is Serve with the form of handler that the function Handle describes.
func (g *Group) Handle(ctx context.Context, network, address string, handle func(Conn) error) (net.Addr, error) {
	return g.serve(ctx, network, address, handle, true)
}

func (g *Group) serve(ctx context.Context, network, address string, handle func(Conn) error, lazy bool) (net.Addr, error) {
	if ctx == nil || handle == nil {
		return nil, errors.New("reactor: a server needs a context and a handler")
	}
	if network == unixNetwork {
		return g.add(handle, lazy, true, func(cfg *ListenConfig) (*Listener, error) { return cfg.listenUnix(address) })
	}
	addrs, err := resolve(ctx, net.DefaultResolver, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	return g.add(handle, lazy, false, func(cfg *ListenConfig) (*Listener, error) {
		ln, err := cfg.listen(network, addrs)
		if err == nil {
			addrs = []netip.AddrPort{ln.addr.(*net.TCPAddr).AddrPort()} // with the port that the first one got
		}
		return ln, err
	})
}

// add adds a server; open makes a listener for it. Where alone is set there can be one only.
func (g *Group) add(handle func(Conn) error, lazy, alone bool, open func(*ListenConfig) (*Listener, error)) (net.Addr, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, ErrLoopRunning
	}
	s := &server{group: g, handle: handle, lazy: lazy}
	if err := s.listen(alone, open, len(g.servers)); err != nil {
		return nil, err
	}
	g.servers = append(g.servers, s)
	return s.listeners[0].Addr(), nil
}

// server is what listens on one address for a group.
type server struct {
	group     *Group
	handle    func(Conn) error
	lazy      bool // it is Handle's
	unix      bool // it listens on a Unix socket
	listeners []*Listener
	lanes     []*lane // to each loop, where one accepts for all; else nil
}

// listen makes the listeners: one for each loop, or one for all, which is the nth server's turn to have.
func (s *server) listen(alone bool, open func(*ListenConfig) (*Listener, error), nth int) error {
	loops := s.group.loops
	if len(loops) > 1 && (s.group.opt.oneAcceptor || alone || !sock.ReusePortBalances) {
		for _, l := range loops {
			s.lanes = append(s.lanes, newLane(s, l))
		}
		nth %= len(loops)
		loops = loops[nth : nth+1]
	}
	for range loops {
		ln, err := open(&ListenConfig{ReusePort: len(s.listeners) > 0, share: len(loops) > 1})
		if err != nil {
			for _, ln := range s.listeners {
				ln.socket().shut()
			}
			return err
		}
		ln.server, s.unix = s, ln.unix
		s.listeners = append(s.listeners, ln)
	}
	for i, ln := range s.listeners {
		loops[i].addListener(ln)
		loops[i].unrun.sockets = append(loops[i].unrun.sockets, ln.socket())
		loops[i].spawn(func(Task) error { return ln.serve() }) // and not Go, which could refuse it
		loops[i].publish()
	}
	return nil
}

// serve accepts until the task is canceled, or the listener fails, which ends the loop. Connections become tasks as they
// come in, and none comes out of AcceptConn.
func (ln *Listener) serve() error {
	_, err := ln.AcceptConn()
	if !ln.loop.stopping && !ln.loop.draining.Load() {
		ln.loop.fail(err)
	}
	return nil
}

// take is given a descriptor that l has accepted.
func (s *server) take(l *Loop, fd int) {
	if s.lanes != nil {
		l.publish() // what this turn has brought it so far counts, too
		if i := s.group.leastLoaded(); s.group.loops[i] != l && s.lanes[i].send(fd) {
			return
		}
	}
	s.serve(l, fd)
}

// serve serves a connection on l.
func (s *server) serve(l *Loop, fd int) {
	l.stats.Accepted++
	c := l.newAccepted(fd, s.unix)
	c.handler, c.lazy = s.handle, s.lazy
	if c.lazy {
		l.lazies++
	}
	c.receive(false)
	if !s.lazy {
		l.spawnHandler(c)
	}
}
