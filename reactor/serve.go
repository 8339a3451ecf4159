package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// Serve listens on a TCP address and runs handle as a task for each connection, until ctx ends; then it closes the
// listener, cancels the tasks (their waits end with ErrCanceled), closes the connections when what they wrote is
// sent, and returns nil. A connection is closed when its handler returns; what the handler returns goes to
// WithErrors, io.EOF excepted. A panic ends the server, unless WithPanicsContained, and is the error that Serve
// returns. network and address are as in ListenConfig.Listen.
//
// handle runs on the loop: it must not block but by what waits in tasks. With WithLoops it is called on several loops
// at once.
func Serve(ctx context.Context, network, address string, handle func(Conn) error, opts ...Option) error {
	return serve(ctx, network, address, handle, false, opts)
}

// Handle is Serve with another form of handler: it is called each time something has come, or the connection has
// ended, and returns when that is dealt with. It reads at least once, by Next or Read, which do not wait then, and
// returns nil for the connection to go on or an error, such as the one that Next gave it, to have it closed. What it
// leaves unread it is called for again.
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
	opt := options{linger: defaultLinger, loops: 1}
	for _, o := range opts {
		o(&opt)
	}
	if opt.loops < 1 || opt.loops > maxLoops {
		return fmt.Errorf("reactor: WithLoops(%d): it must be from 1 to %d", opt.loops, maxLoops)
	}
	addrs, err := resolve(ctx, network, address)
	if err != nil {
		return &net.OpError{Op: "listen", Net: network, Err: err}
	}
	s := server{handle: handle, lazy: lazy}
	defer s.close()
	for range opt.loops {
		if err := s.add(network, addrs, opt); err != nil {
			return err
		}
		addrs = []netip.AddrPort{s.listeners[0].addr} // with the port that the first one got
	}
	if opt.listening != nil {
		opt.listening(Listening{Addr: s.listeners[0].Addr(), Backend: s.loops[0].Backend(), Loops: opt.loops,
			Stats: func() []Stats { return askStats(s.loops) }})
	}
	return s.run(ctx)
}

const maxLoops = 1024

// server is the loops of a Serve, each with a listener.
type server struct {
	handle    func(Conn) error
	lazy      bool // it is Handle's
	loops     []*Loop
	listeners []*Listener
}

// add makes a loop and its listener.
func (s *server) add(network string, addrs []netip.AddrPort, opt options) error {
	l, err := newLoop(opt)
	if err != nil {
		return err
	}
	s.loops = append(s.loops, l)
	cfg := ListenConfig{ReusePort: len(s.listeners) > 0, share: opt.loops > 1}
	fd, addr, err := cfg.listen(network, addrs)
	if err != nil {
		return err
	}
	ln := l.newListener(fd, addr)
	ln.handle, ln.lazy = s.handle, s.lazy
	s.listeners = append(s.listeners, ln)
	return nil
}

// run runs the loops until ctx ends or one of them fails, which ends the others, too.
func (s *server) run(ctx context.Context) error {
	all, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(s.loops))
	var wg sync.WaitGroup
	for i, l := range s.loops {
		ln := s.listeners[i]
		l.Go(func(Task) error { return ln.serve() })
		wg.Go(func() {
			if err := l.Run(all); err != nil && err != context.Cause(all) {
				errs[i] = err
				cancel(err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// close frees what never ran.
func (s *server) close() {
	for _, l := range s.loops {
		l.Close()
	}
}

// serve accepts until the task is canceled, or the listener fails, which ends the loop. Connections become tasks as they
// come in, and none comes out of AcceptConn.
func (ln *Listener) serve() error {
	_, err := ln.AcceptConn()
	if !errors.Is(err, ErrCanceled) {
		ln.loop.fail(err)
	}
	return nil
}
