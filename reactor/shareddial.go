package reactor

import (
	"context"
	"net"
	"sync/atomic"
)

// DialContext connects to a TCP address, or a Unix socket, for any goroutine: the net.Conn is a *SharedConn of this loop,
// which must be running. It fits http.Transport. The end of ctx ends the dialing with its cause. Otherwise it is as the
// function Dial. It must not be called by what runs on the loop.
func (l *Loop) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(Dialer).DialContext(ctx, l, network, address)
}

// DialContext is Loop.DialContext with the dialer's settings.
func (d *Dialer) DialContext(ctx context.Context, l *Loop, network, address string) (net.Conn, error) {
	type result struct {
		c   *SharedConn
		err error
	}
	results := make(chan result, 1)
	var over atomic.Bool // whoever is first decides: the loop with a connection, or the caller who waits no longer
	err := l.Go(func(t Task) error {
		return t.With(ctx, func() error {
			c, err := d.Dial(t, network, address)
			switch {
			case over.Swap(true):
				c.Close()
			case err != nil:
				results <- result{err: err}
			default:
				results <- result{c: c.Shared()}
			}
			return nil
		})
	})
	if err != nil {
		return nil, d.wrap(network, nil, err)
	}
	select {
	case r := <-results:
		if r.err != nil {
			return nil, r.err
		}
		return r.c, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-l.finished:
		err = ErrLoopEnded
	}
	if over.Swap(true) {
		if r := <-results; r.err == nil {
			return r.c, nil
		}
	}
	return nil, d.wrap(network, nil, err)
}
