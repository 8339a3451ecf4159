package tests

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/eyewall/eyewall/reactor"
)

// go-proxyproto reads its header in tasks, from the text form and the binary one, and gives the addresses in it; what
// follows the header, in the same segment too, is the connection's.
func TestProxyProtocol(t *testing.T) {
	from, to := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 1234}, &net.TCPAddr{IP: net.IPv4(10, 4, 5, 6), Port: 443}
	eachMeeting(t, func(t *testing.T, m meeting) {
		for _, version := range []byte{1, 2} {
			for _, apart := range []bool{false, version == 2} { // of the text form it wants all at once
				m.good(t, func(c net.Conn) error {
					p := proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE))
					if err := echoLines(p); err != nil {
						return err
					}
					if p.RemoteAddr().String() != from.String() || p.LocalAddr().String() != to.String() {
						return fmt.Errorf("from %v to %v", p.RemoteAddr(), p.LocalAddr())
					}
					return nil
				}, func(c net.Conn) error {
					var said strings.Builder
					if _, err := proxyproto.HeaderProxyFromAddrs(version, from, to).WriteTo(&said); err != nil {
						return err
					}
					long := strings.Repeat("l", 10_000)
					said.WriteString("line\n" + long + "\n")
					text := said.String()
					for apart && text[0] != 'l' { // the header in single bytes
						if err := say(c, text[:1]); err != nil {
							return err
						}
						text = text[1:]
					}
					if err := errors.Join(say(c, text), hear(c, "LINE\n"), hear(c, strings.ToUpper(long)+"\n")); err != nil {
						return err
					}
					return c.(interface{ CloseWrite() error }).CloseWrite()
				})
			}
		}
		serverErr, clientErr := m.run(func(c net.Conn) error {
			return echoLines(proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE)))
		}, func(c net.Conn) error { return say(c, "no header, but more than its first bytes\n") })
		if !errors.Is(serverErr, proxyproto.ErrNoProxyProtocol) || clientErr != nil {
			t.Errorf("without a header: server: %v, client: %v", serverErr, clientErr)
		}
	})
}

// Its listener accepts in a task, and bounds how long the header may take.
func TestProxyProtocolListener(t *testing.T) {
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		for said, want := range map[string]error{
			"":                                   proxyproto.ErrNoProxyProtocol,
			"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00": proxyproto.ErrCantReadLength, // and no more
		} {
			var ln *reactor.Listener
			must(t, "Listen", inTask(t, l, func(task reactor.Task) (err error) {
				ln, err = reactor.Listen(task, "tcp", "127.0.0.1:0")
				return err
			}))
			c, err := net.Dial("tcp", ln.Addr().String())
			must(t, "Dial", err)
			must(t, "Write", say(c, said))
			if err := inTask(t, l, func(reactor.Task) error { // what was said is there by now
				return accept(&proxyproto.Listener{
					Listener:          ln,
					ReadHeaderTimeout: 20 * time.Millisecond,
					ConnPolicy:        func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil },
				}, nil, make(chan string, 1), func(c net.Conn) error {
					_, err := c.Read(make([]byte, 1))
					return err
				})
			}); !errors.Is(err, want) {
				t.Errorf("after %q: %v", said, err)
			}
			c.Close()
		}
	})
}
