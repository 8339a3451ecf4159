package reactor

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/eyewall/eyewall/internal/testenv"
)

// echoes are ways to send back what comes.
var echoes = map[string]func(Conn) error{
	"Next, Write": echo,
	"Read, Write": func(c Conn) error { return echoBy(c, make([]byte, 4096), c.Write) },
	"Read of a few bytes, Write": func(c Conn) error {
		return echoBy(c, make([]byte, 777), c.Write)
	},
	"Read, Writev": func(c Conn) error {
		return echoBy(c, make([]byte, 100_000), func(p []byte) (int, error) {
			third := len(p) / 3
			return c.Writev([][]byte{p[:third], nil, p[third : 2*third], p[2*third:]})
		})
	},
	"Next, Writev in pieces": func(c Conn) error {
		for {
			data, err := c.Next()
			if err != nil {
				return err
			}
			for n := 1; len(data) > 0; n = n*3 + 1 {
				n = min(n, len(data))
				if _, err := c.Writev([][]byte{data[:n/2], data[n/2 : n]}); err != nil {
					return err
				}
				data = data[n:]
			}
		}
	},
	"Next, Write, Flush": func(c Conn) error {
		for {
			data, err := c.Next()
			if err != nil {
				return err
			}
			if _, err := c.Write(data); err != nil {
				return err
			}
			if err := c.Flush(); err != nil {
				return err
			}
		}
	},
	"bufio": func(c Conn) error {
		r, w := bufio.NewReader(c), bufio.NewWriter(c)
		for {
			b, err := r.ReadByte()
			if err != nil {
				return err
			}
			w.WriteByte(b)
			if r.Buffered() == 0 {
				if err := w.Flush(); err != nil {
					return err
				}
			}
		}
	},
	"io.Copy": func(c Conn) error {
		if _, err := io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}); err != nil {
			return err
		}
		return io.EOF
	},
}

func echoBy(c Conn, buf []byte, write func([]byte) (int, error)) error {
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		if written, err := write(buf[:n]); err != nil || written != n {
			return fmt.Errorf("wrote %d of %d bytes: %w", written, n, err)
		}
	}
}

var echoSizes = []int{0, 1, 511, 512, 513, 16<<10 - 1, 16 << 10, 16<<10 + 1, 64 << 10, 64<<10 + 1, 1<<20 + 3, 4 << 20}

// loopbacks are the addresses of this machine in the families that it has.
func loopbacks(t *testing.T) []string {
	list := []string{"127.0.0.1:0"}
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		ln.Close()
		list = append(list, "[::1]:0")
	} else {
		t.Logf("there is no IPv6 here: %v", err)
	}
	return list
}

// What is sent comes back, whatever its size and the calls that carry it.
func TestEcho(t *testing.T) {
	for way, echo := range echoes {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				for _, address := range loopbacks(t) {
					for _, size := range echoSizes {
						if size > 100_000 && (address != "127.0.0.1:0" || testenv.Race && way != "Next, Write") {
							continue // it takes long, and tells nothing new
						}
						run(t, name, func(task Task) {
							c, peer := peered(t, task, ListenConfig{}, address)
							task.Go(func(Task) error {
								if err := echo(c); err != io.EOF {
									t.Errorf("%d bytes: %v", size, err)
								}
								return c.Close()
							})
							off(t, task, func() { exchange(t, peer, size) })
						})
					}
				}
			})
		})
	}
}

// exchange sends bytes to a peer and checks that the same come back, and then the end.
func exchange(t *testing.T, peer *net.TCPConn, size int) {
	want := pattern(size)
	peer.SetDeadline(time.Now().Add(limit))
	go func() {
		if _, err := peer.Write(want); err != nil {
			t.Errorf("the peer's Write: %v", err)
		}
		peer.CloseWrite()
	}()
	got, err := io.ReadAll(peer)
	if err != nil {
		t.Errorf("the peer's Read: %v", err)
	}
	same(t, fmt.Sprintf("%d bytes", size), got, want)
}

// Both ends may be connections of one loop.
func TestEchoWithinLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			task.Go(func(Task) error {
				defer b.Close()
				if err := echo(b); err != io.EOF {
					t.Errorf("echo: %v", err)
				}
				return nil
			})
			want := pattern(1 << 20)
			task.Go(func(Task) error {
				for rest, n := want, 1; len(rest) > 0; n = (n*5 + 3) % 50_000 {
					n = min(n, len(rest))
					if written, err := a.Write(rest[:n]); written != n || err != nil {
						t.Errorf("Write: %d of %d, %v", written, n, err)
					}
					rest = rest[n:]
				}
				must(t, "CloseWrite", a.CloseWrite())
				return nil
			})
			got, err := io.ReadAll(a)
			must(t, "ReadAll", err)
			same(t, "what came back", got, want)
			must(t, "Close", a.Close())
		})
	})
}

// Reading nothing is no wait, and tells nothing.
func TestReadOfNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			if n, err := a.Read(nil); n != 0 || err != nil {
				t.Errorf("Read(nil): %d, %v", n, err)
			}
			if n, err := a.Write(nil); n != 0 || err != nil {
				t.Errorf("Write(nil): %d, %v", n, err)
			}
			if n, err := a.Writev([][]byte{nil, {}}); n != 0 || err != nil {
				t.Errorf("Writev of nothing: %d, %v", n, err)
			}
			must(t, "Flush", a.Flush())
			if n := spyOn(task.Loop()).sends; len(n) != 0 {
				t.Errorf("sends of %v bytes", n)
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// What Next lends is the caller's to change, and stays until the connection is read again or closed.
func TestNextLends(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			c, d := pair(t, task)
			a.Write([]byte("first"))
			data, err := b.Next()
			must(t, "Next", err)
			same(t, "what is lent", data, []byte("first"))
			a.Write([]byte("second"))
			c.Write([]byte("other"))
			other, err := d.Next()
			must(t, "Next", err)
			must(t, "Sleep", task.Sleep(2*maxKeep))
			same(t, "what was lent a while ago", data, []byte("first"))
			same(t, "what is lent of another", other, []byte("other"))
			if cap(data) != len(data) {
				t.Errorf("what is lent has a capacity of %d for %d bytes", cap(data), len(data))
			}
			data[0] = 'F'
			same(t, "what is lent of another", other, []byte("other"))
			data, err = b.Next()
			must(t, "Next", err)
			same(t, "what is lent next", data, []byte("second"))
			if n := outstanding(task.Loop()); n > 2 {
				t.Errorf("%d buffers are lent, want 2 at most", n)
			}
			for _, c := range []Conn{a, b, c, d} {
				must(t, "Close", c.Close())
			}
			if n := outstanding(task.Loop()); n != 0 {
				t.Errorf("%d buffers are lent after Close", n)
			}
		})
	})
}

// Reads of a few bytes after a Next, and the other way round, lose nothing.
func TestNextAndReadMixed(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			want := pattern(200_000)
			task.Go(func(Task) error {
				for rest := want; len(rest) > 0; rest = rest[1000:] {
					if _, err := a.Write(rest[:1000]); err != nil {
						return err
					}
				}
				return a.Close()
			})
			var got []byte
			for i := 0; ; i++ {
				var data []byte
				var err error
				if i%3 == 0 {
					data, err = b.Next()
				} else {
					var buf [100]byte
					var n int
					n, err = b.Read(buf[:])
					data = buf[:n]
				}
				got = append(got, data...)
				if err != nil {
					if err != io.EOF {
						t.Errorf("the end: %v", err)
					}
					break
				}
			}
			same(t, "what was read", got, want)
			must(t, "Close", b.Close())
		})
	})
}
