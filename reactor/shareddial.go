package reactor

import (
	"context"
	"net"
	"sync/atomic"
)

// DialContext connects to a TCP address, or a Unix socket, for any goroutine: the net.Conn is a *SharedConn of this loop,
// which must be running. It fits http.Transport. The end of ctx ends the dialing with its cause. Otherwise it is as the
// function Dial. It is an error to call it on the loop: there is Dial.
func (l *Loop) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(Dialer).DialContext(ctx, l, network, address)
}

// DialContext is Loop.DialContext with the dialer's settings. A panic of Control, which ends the task that dials, and
// perhaps the loop, is also an error of DialContext: it wraps the *PanicError.
func (d *Dialer) DialContext(ctx context.Context, l *Loop, network, address string) (net.Conn, error) {
	if ctx == nil {
		return nil, d.wrap(network, nil, errNoContext)
	}
	if l.isHere() {
		return nil, d.wrap(network, nil, errOwnLoop)
	}
	p := &sharedDial{dialer: d, network: network, results: make(chan sharedResult, 1)}
	err := l.Go(func(t Task) error {
		return t.With(ctx, func() error { return p.run(t, address) })
	})
	if err != nil {
		return nil, d.wrap(network, nil, err)
	}
	select {
	case r := <-p.results:
		return r.get()
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-l.finished:
		err = ErrLoopEnded
	}
	if p.over.Swap(true) {
		r := <-p.results
		return r.get()
	}
	return nil, d.wrap(network, nil, err)
}

// sharedDial is a dial by a task for a goroutine, which waits for it.
type sharedDial struct {
	dialer  *Dialer
	network string
	results chan sharedResult
	over    atomic.Bool // whoever is first decides: the task with a result, or the goroutine, which waits no longer
}

type sharedResult struct {
	c   *SharedConn
	err error
}

func (r sharedResult) get() (net.Conn, error) {
	if r.err != nil {
		return nil, r.err
	}
	return r.c, nil
}

// run is the task. The goroutine is told however it ends, be it by a panic, which goes on, or Goexit.
func (p *sharedDial) run(t Task, address string) error {
	var c Conn
	err := p.dialer.wrap(p.network, nil, errGoexit)
	defer func() {
		v := recover()
		if v != nil {
			v = newPanicError(v)
			err = p.dialer.wrap(p.network, nil, v.(error))
		}
		var s *SharedConn
		if err == nil {
			if s, err = c.share(); err != nil {
				err = p.dialer.wrap(p.network, nil, err)
			}
		}
		switch {
		case !p.over.Swap(true):
			p.results <- sharedResult{s, err}
		case err == nil:
			s.Close()
		}
		if v != nil {
			panic(v)
		}
	}()
	c, err = p.dialer.Dial(t, p.network, address)
	return nil // the goroutine has the error
}
