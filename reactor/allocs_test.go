package reactor

import (
	"net"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/testenv"
)

// allocsPer is how many allocations the process makes for each of n calls, whatever goroutine they are on, once its pools
// are warm: on a busy machine more may be under way at once than ever before.
func allocsPer(n int, call func()) (least float64) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for try := range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			call()
		}
		runtime.ReadMemStats(&after)
		if got := float64(after.Mallocs-before.Mallocs) / float64(n); try == 0 || got < least {
			least = got
		}
		if least <= few {
			break
		}
	}
	return least
}

// few is what the Go runtime may allocate meanwhile by itself.
const few = 0.02

// client is a connection of bare system calls, which allocate nothing.
type client struct {
	t   testing.TB
	to  *unix.SockaddrInet4
	fd  int
	buf []byte
}

func newClient(t testing.TB, to net.Addr, size int) *client {
	return &client{t: t, to: &unix.SockaddrInet4{Port: to.(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}, buf: make([]byte, size)}
}

func (c *client) connect() {
	var err error
	if c.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err == nil {
		err = unix.Connect(c.fd, c.to)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) ask() {
	if n, err := unix.Write(c.fd, c.buf); n != len(c.buf) || err != nil {
		c.t.Fatal(n, err)
	}
	for got := 0; got < len(c.buf); {
		n, err := unix.Read(c.fd, c.buf[got:])
		if n <= 0 || err != nil {
			c.t.Fatal(n, err)
		}
		got += n
	}
}

func (c *client) close() { unix.Close(c.fd) }

// A message allocates nothing, of either size and in either form, nor does a connection once the pools are warm.
func TestServingAllocatesNothing(t *testing.T) {
	undebugged(t)
	if testenv.Race {
		return // the race detector allocates
	}
	for form, serve := range serves {
		t.Run(form, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, name string) {
				s := start(t, name, serve, echoOnceOr(form, echo))
				for _, size := range []int{64, 40_000} {
					c := newClient(t, s.Addr, size)
					c.connect()
					for range 100 {
						c.ask()
					}
					if n := allocsPer(500, c.ask); n > few {
						t.Errorf("%v allocations for each message of %d bytes", n, size)
					}
					c.close()
				}
				c := newClient(t, s.Addr, 64)
				visit := func() {
					c.connect()
					c.ask()
					c.close()
				}
				for range 200 {
					visit()
				}
				if n := allocsPer(500, visit); n > perAccept+few {
					t.Errorf("%v allocations for each connection", n)
				}
				must(t, form, s.stop(t))
			})
		})
	}
}

// echoOnceOr is echoOnce for Handle, and handle for Serve.
func echoOnceOr(form string, handle func(Conn) error) func(Conn) error {
	if form == "Handle" {
		return echoOnce
	}
	return handle
}

// What tasks do all the time allocates nothing.
func TestTasksAllocateNothing(t *testing.T) {
	undebugged(t)
	if testenv.Race {
		return
	}
	eachDriver(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		err := runLoop(t, l, func(task Task) error {
			a, b := pair(t, task)
			onward, far := pair(t, task)
			message, large := []byte("message"), make([]byte, 100_000)
			bufs := [][]byte{message, message}
			buf := make([]byte, len(large))
			other := func(task Task) error { return nil }
			posted := func() {}
			readFrom := func(c Conn, n int) {
				for n > 0 {
					got, err := c.Read(buf)
					must(t, "Read", err)
					n -= got
				}
			}
			read := func(n int) { readFrom(b, n) }
			splice := func(n int) {
				for left := n; left > 0; {
					got, err := b.Splice(onward)
					must(t, "Splice", err)
					left -= got
				}
				readFrom(far, n)
			}
			deadline := time.Now().Add(time.Hour)
			for what, call := range map[string]func(){
				"Yield":    func() { task.Yield() },
				"Sleep":    func() { task.Sleep(time.Microsecond) },
				"Sleep(0)": func() { task.Sleep(0) },
				"Go":       func() { task.Go(other); task.Yield() },
				"Post":     func() { l.Post(posted); task.Yield() },
				"Write":    func() { a.Write(message); read(len(message)) },
				"Writev":   func() { a.Writev(bufs); read(2 * len(message)) },
				"Flush":    func() { a.Write(message); a.Flush(); read(len(message)) },
				"large":    func() { a.Write(large); read(len(large)) },
				"Next": func() {
					a.Write(message)
					b.Next()
				},
				"Splice":       func() { a.Write(message); splice(len(message)) },
				"Splice large": func() { a.Write(large); splice(len(large)) },
				"SetDeadline":  func() { b.SetDeadline(deadline) },
			} {
				for range 100 {
					call()
				}
				if n := allocsPer(500, call); n > few {
					t.Errorf("%s: %v allocations", what, n)
				}
			}
			if n := allocsPer(500, func() { b.c.wrap("read", unix.ECONNRESET) }); n > 1+few {
				t.Errorf("an error: %v allocations, want 1", n)
			}
			for _, c := range []Conn{a, b, onward, far} {
				must(t, "Close", c.Close())
			}
			return nil
		})
		must(t, "Run", err)
	})
}
