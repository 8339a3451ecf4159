package tests

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/eyewall/eyewall/reactor"
)

// Connections that goroutines share pass the suite for implementations of net.Conn, over each network: both ends shared,
// and with the other end package net's.
func TestConn(t *testing.T) {
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(network, func(t *testing.T) {
				nettest.TestConn(t, pipes(t, l, network, l.DialContext))
			})
			t.Run(network+" dialed by net", func(t *testing.T) {
				nettest.TestConn(t, pipes(t, l, network, new(net.Dialer).DialContext))
			})
		}
	})
}

// pipes makes pairs of connections: who dialed, and who accepted on the loop.
func pipes(t *testing.T, l *reactor.Loop, network string, dial func(context.Context, string, string) (net.Conn, error)) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		address := "127.0.0.1:0"
		if network == "unix" {
			dir, err := os.MkdirTemp("", "eyewall")
			must(t, "MkdirTemp", err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			address = filepath.Join(dir, "s")
		}
		ln := listen(t, l, network, address)
		defer ln.Close()
		c1, err = dial(t.Context(), network, ln.Addr().String())
		must(t, "Dial", err)
		c2, err = ln.Accept()
		must(t, "Accept", err)
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	}
}
