package reactor

import (
	"io"
	"net"
	"testing"

	"github.com/eyewall/eyewall/backend"
)

// When memory is short a connection receives only while somebody waits for it, so that their bytes are bounded in all.
func TestMemoryIsBounded(t *testing.T) {
	const (
		most  = 100_000
		piece = 4096
		conns = 40
	)
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			l := task.Loop()
			l.input.most = most
			want := pattern(300_000)
			let := false
			var readers []Task
			for range conns {
				c, peer := peered(t, task, ListenConfig{ReadBuffer: 8 << 10}, "127.0.0.1:0")
				go func() {
					peer.Write(want)
					peer.CloseWrite()
				}()
				readers = append(readers, task.Go(func(task Task) error {
					var got []byte
					for {
						data, err := c.Next()
						if err != nil {
							wantErr(t, "Next", err, io.EOF)
							same(t, "what came", got, want)
							return c.Close()
						}
						for !let {
							if err := task.Sleep(maxKeep / 5); err != nil { // the test has failed
								return nil
							}
						}
						got = append(got, data...)
					}
				}))
			}
			// Without a bound each connection would have maxUnread. A receive that is in flight when memory becomes short
			// ends a turn later; a socket here has no more than 16 KiB for that.
			const bound = most + 2*conns*(16<<10+piece)
			settled, last := 0, Stats{}
			when(t, task, "memory is short, and nothing is received any more", func() bool {
				now := l.Stats()
				if now.Kept > bound {
					t.Fatalf("%d bytes are kept, and %d are allowed", now.Kept, bound)
				}
				if settled++; now.Received != last.Received || now.Kept <= most {
					settled = 0
				}
				last = now
				must(t, "Sleep", task.Sleep(maxKeep))
				return settled == 5
			})
			let = true
			for _, reader := range readers {
				when(t, task, "all is read", reader.Done)
			}
			if kept := l.Stats().Kept; kept != 0 {
				t.Errorf("%d bytes are kept after all", kept)
			}
		}, WithConfig(backend.Config{BufferSize: piece, BufferCount: 16}))
	})
}

// Servers whose memory is short serve all the same, in either form.
func TestServingWithoutMemory(t *testing.T) {
	for form, serve := range serves {
		t.Run(form, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				s := start(t, name, serve, func(c Conn) error {
					c.c.loop.input.most = -1
					return echoOnceOr(form, echo)(c)
				}, WithConfig(backend.Config{BufferSize: 4096, BufferCount: 16}))
				want := pattern(300_000)
				var clients []*net.TCPConn
				for range 20 {
					c := s.dial(t)
					clients = append(clients, c)
					go func() {
						c.Write(want)
						c.CloseWrite()
					}()
				}
				for _, c := range clients {
					got, err := io.ReadAll(c)
					must(t, "ReadAll", err)
					same(t, "the echo", got, want)
				}
				if kept := s.stats(t)[0].Kept; kept != 0 {
					t.Errorf("%d bytes are kept after all", kept)
				}
				must(t, form, s.stop(t))
			})
		})
	}
}
