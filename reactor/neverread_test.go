package reactor

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Clients that send and never read keep a server, in whatever way it echoes, from nobody else. See also tests/neverread.
func TestClientsThatNeverRead(t *testing.T) {
	for way, server := range map[string]struct {
		serve serveFunc
		echo  func(Conn) error
	}{
		"Next":    {Serve, echo},
		"handler": {Handle, echoOnce},
		"io.Copy": {Serve, func(c Conn) error { _, err := io.Copy(c, c); return err }},
	} {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				const buffers = 16
				s := start(t, name, server.serve, func(c Conn) error {
					c.SetWriteBuffer(4096)
					return server.echo(c)
				}, WithConfig(backend.Config{BufferCount: buffers}), WithLinger(0))
				other := s.dial(t)
				dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
					c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
					return err
				}}
				var senders sync.WaitGroup
				var clients []net.Conn
				for range 3 * buffers {
					c, err := dialer.Dial("tcp", s.address)
					must(t, "Dial", err)
					clients = append(clients, c)
					senders.Go(func() { c.Write(make([]byte, 200_000)) })
					ask(t, other, "is anybody there?")
				}
				for range 20 {
					ask(t, other, "is anybody there?")
					time.Sleep(time.Millisecond)
				}
				for _, c := range clients {
					c.Close()
				}
				senders.Wait()
				ask(t, other, "is anybody there?")
				must(t, way, s.stop(t))
			})
		})
	}
}
