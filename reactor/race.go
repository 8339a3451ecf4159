package reactor

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/sock"
)

// race is the event that one of several places is connected to. See RFC 8305, 5.
type race struct {
	dialer  *Dialer
	loop    *Loop
	network string
	places  []place
	next    int // of places, to be tried
	delay   time.Duration
	tried   []attempt // whose sockets are still open
	winner  attempt   // once there is one
	won     bool
	err     error // of an attempt that failed; see failed

	failedAt *place // of which err is
}

// attempt is to connect to one place.
type attempt struct {
	at    *place
	fd    int
	token backend.Token
}

// race connects to the first of places that can be connected to.
func (d *Dialer) race(t Task, network string, places []place) (Conn, error) {
	l := t.t.loop
	e := &race{dialer: d, loop: l, network: network, places: places, delay: orDefault(d.FallbackDelay, defaultFallbackDelay)}
	taken := false
	defer func() {
		if e.won && !taken { // the wait may also have ended in Goexit
			l.discard(e.winner.fd)
		}
		for _, a := range e.tried {
			l.discard(a.fd)
		}
	}()
	if err := t.Await(e); err != nil {
		if err != e.err {
			err = d.wrap(network, &places[0], err)
		}
		return Conn{}, err
	}
	taken = true
	if e.winner.at.unix {
		return l.newUnixConn(e.winner.fd).handle(), nil
	}
	return l.newConn(e.winner.fd, e.winner.at.ip).handle(), nil
}

// Register implements event.Event.
func (e *race) Register(r event.Reactor) error {
	if !e.start(r) {
		return e.err
	}
	return nil
}

// start tries the next place; false where there is none.
func (e *race) start(r event.Reactor) bool {
	for e.next < len(e.places) {
		at := &e.places[e.next]
		e.next++
		fd, raw, err := e.dialer.socket(at)
		if err != nil {
			e.failed(at, err)
			continue
		}
		token := r.Submit(backend.Op{Kind: backend.Connect, FD: fd, Addr: raw})
		e.tried = append(e.tried, attempt{at, fd, token})
		if e.delay >= 0 && e.next < len(e.places) {
			r.Timer(e.loop.after(e.delay))
		}
		return true
	}
	return false
}

// Resume implements event.Event.
func (e *race) Resume(r event.Reactor, c *backend.Completion) (bool, error) {
	if c.Token == 0 { // the timer
		e.start(r)
		return false, nil
	}
	i := 0
	for e.tried[i].token != c.Token {
		i++
	}
	a := e.tried[i]
	err := c.Err
	switch {
	case err == nil && e.won: // it came second
		return true, nil
	case err == nil && !e.toItself(a):
		e.winner, e.won = a, true
	case err == nil:
		err = unix.ECONNREFUSED
	}
	last := len(e.tried) - 1
	e.tried[i] = e.tried[last]
	e.tried = e.tried[:last]
	switch {
	case e.won && a == e.winner:
		return true, nil
	case err == ErrCanceled:
		e.loop.discard(a.fd)
		return len(e.tried) == 0, err
	}
	e.loop.discard(a.fd)
	e.failed(a.at, err)
	if e.won || e.start(r) || len(e.tried) > 0 {
		return false, nil
	}
	return true, e.err
}

// failed keeps the first error; one that tells of no more than that a family is missing only until there is one of the
// other family.
func (e *race) failed(at *place, err error) {
	if e.err == nil || missesFamily(e.err) && e.failedAt.ip.Addr().Is4() != at.ip.Addr().Is4() {
		e.err, e.failedAt = e.dialer.wrap(e.network, at, withZone(at.ip.Addr(), err)), at
	}
}

// missesFamily reports whether err says that the system has no address, or no route, of an address's family.
func missesFamily(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENETUNREACH)
}

// toItself tells whether the system chose the port that it was to connect to, and so connected the socket to itself,
// since nobody listens there.
func (e *race) toItself(a attempt) bool {
	return !a.at.unix && e.dialer.local().Port() == 0 && sock.Local(a.fd) == a.at.ip
}
