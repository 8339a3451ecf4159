package tests

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

// limited is a connection that lets a number of written bytes through and then does something else.
type limited struct {
	net.Conn
	left int
	then func() error // nil: it swallows the rest
}

func (c *limited) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:min(len(p), c.left)])
	c.left -= n
	if err != nil || n == len(p) {
		return n, err
	}
	if c.then != nil {
		return n, c.then()
	}
	return len(p), nil
}

// limits are how much of its part of a handshake a peer sends: nothing, some of a record's header, some of its first
// record, and more than that. A hello has more than 150 bytes.
var limits = []int{0, 3, 60, 150}

// A peer that stalls in the handshake does not outlast the deadline, whatever it has sent by then.
func TestTLSStall(t *testing.T) {
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		results := make(chan error)
		for _, limit := range limits {
			stalls := func(secure func(net.Conn) *tls.Conn) talk {
				return func(c net.Conn) error {
					secure(&limited{Conn: c, left: limit}).Handshake()
					io.Copy(io.Discard, c) // until the other gives up
					return nil
				}
			}
			bounded := func(secure func(net.Conn) *tls.Conn) talk {
				return func(c net.Conn) error {
					c.SetDeadline(time.Now().Add(20 * time.Millisecond))
					err := secure(c).Handshake()
					var timeout net.Error
					if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
						return fmt.Errorf("the handshake ends with %v", err)
					}
					return nil
				}
			}
			asServer := func(c net.Conn) *tls.Conn { return tls.Server(c, server) }
			asClient := func(c net.Conn) *tls.Conn { return tls.Client(c, client) }
			go func() { results <- errors.Join(m.run(bounded(asServer), stalls(asClient))) }()
			go func() { results <- errors.Join(m.run(stalls(asServer), bounded(asClient))) }()
		}
		for range 2 * len(limits) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

// A peer that resets the connection in the handshake ends it, and leaves nothing.
func TestTLSReset(t *testing.T) {
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		errCut := errors.New("cut")
		cuts := func(limit int, secure func(net.Conn) *tls.Conn) talk {
			return func(c net.Conn) error {
				reset := func() error {
					return errors.Join(errCut, c.(interface{ SetLinger(int) error }).SetLinger(0), c.Close())
				}
				if err := secure(&limited{c, limit, reset}).Handshake(); !errors.Is(err, errCut) {
					return fmt.Errorf("the handshake passes, or fails of itself: %v", err)
				}
				return nil
			}
		}
		ended := func(secure func(net.Conn) *tls.Conn) talk {
			return func(c net.Conn) error {
				if err := secure(c).Handshake(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("the handshake ends with %v", err)
				}
				return nil
			}
		}
		asServer := func(c net.Conn) *tls.Conn { return tls.Server(c, server) }
		asClient := func(c net.Conn) *tls.Conn { return tls.Client(c, client) }
		leavesNothing(t, m.loop, 2*len(limits), func(i int) {
			limit := limits[i%len(limits)]
			m.good(t, ended(asServer), cuts(limit, asClient))
			m.good(t, cuts(limit, asServer), ended(asClient))
		})
	})
}

// A task that is canceled in the handshake, or whose time for it is over, ends it, and leaves nothing.
func TestTLSCancel(t *testing.T) {
	server, client := newAuthority(t).configs(t, tls.VersionTLS13)
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		peer, err := net.Listen("tcp", "127.0.0.1:0") // which nobody accepts from, so that it says nothing
		must(t, "Listen", err)
		defer peer.Close()
		leavesNothing(t, l, 4, func(i int) {
			must(t, "a handshake", inTask(t, l, func(task reactor.Task) error {
				c, err := reactor.Dial(task, "tcp", peer.Addr().String())
				if err != nil {
					return err
				}
				defer c.Close()
				secure := tls.Client(c, client)
				if i%2 == 0 {
					secure = tls.Server(c, server)
				}
				if i >= 2 {
					err := task.Timeout(5*time.Millisecond, secure.Handshake)
					if !errors.Is(err, context.DeadlineExceeded) {
						return fmt.Errorf("after its time it ends with %v", err)
					}
					return nil
				}
				task.Go(func(reactor.Task) error {
					task.Cancel()
					return nil
				})
				if err := secure.Handshake(); !errors.Is(err, reactor.ErrCanceled) {
					return fmt.Errorf("canceled it ends with %v", err)
				}
				return nil
			}))
		})
	})
}
