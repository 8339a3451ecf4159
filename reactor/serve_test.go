package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// served is a Serve, or a Handle, that runs beside a test.
type served struct {
	Listening
	address string
	end     context.CancelCauseFunc
	result  chan error
}

// serveFunc is Serve or Handle.
type serveFunc = func(context.Context, string, string, func(Conn) error, ...Option) error

// start starts a server on a port of its own.
func start(t testing.TB, name string, serve serveFunc, handle func(Conn) error, opts ...Option) *served {
	t.Helper()
	return startOn(t, name, "tcp", "127.0.0.1:0", serve, handle, opts...)
}

// startOn starts a server.
func startOn(t testing.TB, name, network, address string, serve serveFunc, handle func(Conn) error, opts ...Option) *served {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &served{end: cancel, result: make(chan error, 1)}
	listening := make(chan Listening, 1)
	opts = append([]Option{WithBackend(name), WithListening(func(l Listening) { listening <- l })}, opts...)
	go func() { s.result <- serve(ctx, network, address, handle, opts...) }()
	select {
	case s.Listening = <-listening:
		s.address = s.Addr.String()
	case err := <-s.result:
		t.Fatalf("it does not listen: %v", err)
	}
	return s
}

// stats asks the server's loops for their Stats.
func (s *served) stats(t testing.TB) []Stats {
	t.Helper()
	all, err := s.Stats(context.Background())
	must(t, "Stats", err)
	return all
}

// wait waits until the server has ended by itself.
func (s *served) wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.result:
		return err
	case <-time.After(limit):
		t.Fatalf("the server does not end:\n%s", stacks())
		return nil
	}
}

// stop ends the server.
func (s *served) stop(t testing.TB) error {
	t.Helper()
	s.end(nil)
	return s.wait(t)
}

// dial connects to it.
func (s *served) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	must(t, "Dial", err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return c.(*net.TCPConn)
}

// ask sends a message and reads an answer of the same length.
func ask(t testing.TB, c net.Conn, message string) string {
	t.Helper()
	if _, err := c.Write([]byte(message)); err != nil {
		t.Fatalf("the client's Write: %v", err)
	}
	answer := make([]byte, len(message))
	if _, err := io.ReadFull(c, answer); err != nil {
		t.Fatalf("the client's Read: %v", err)
	}
	return string(answer)
}

// A server serves until its context ends; then it closes everything and returns nil.
func TestServe(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, loops := range []int{1, 3} {
			s := start(t, name, Serve, echo, WithLoops(loops))
			if s.Loops != loops || s.Backend.Name == "" || s.Addr.Network() != "tcp" {
				t.Errorf("Listening is %+v", s.Listening)
			}
			var clients []net.Conn
			for i := range 20 {
				c := s.dial(t)
				if got, want := ask(t, c, fmt.Sprint("message ", i)), fmt.Sprint("message ", i); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				clients = append(clients, c)
			}
			must(t, "Serve", s.stop(t))
			for _, c := range clients {
				if _, err := c.Read(make([]byte, 1)); err == nil {
					t.Error("a connection is still open")
				}
			}
			if _, err := net.Dial("tcp", s.address); err == nil {
				t.Error("the port is still open")
			}
		}
	})
}

// With several loops each gets connections, and each runs on a thread of its own.
func TestServeLoops(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const loops = 4
		var mu sync.Mutex
		served := map[*Loop]int{}
		s := start(t, name, Serve, func(c Conn) error {
			mu.Lock()
			served[c.Task().Loop()]++
			mu.Unlock()
			return echo(c)
		}, WithLoops(loops))
		const conns = 100
		for range conns {
			ask(t, s.dial(t), "ping")
		}
		accepted := uint64(0)
		for _, stats := range s.stats(t) {
			accepted += stats.Accepted
		}
		must(t, "Serve", s.stop(t))
		if len(served) != loops || accepted != conns {
			t.Errorf("%d of %d loops have accepted; together %d of %d connections", len(served), loops, accepted, conns)
		}
	})
}

// The number of loops has bounds.
func TestServeLoopCount(t *testing.T) {
	leavesNothing(t)
	for _, n := range []int{-1, 0, maxLoops + 1} {
		err := Serve(context.Background(), "tcp", "127.0.0.1:0", echo, WithLoops(n))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("WithLoops(%d)", n)) {
			t.Errorf("WithLoops(%d): error %v", n, err)
		}
	}
}

// What is wrong with the call is an error, and leaves nothing.
func TestServeErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx := context.Background()
		busy, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, "Listen", err)
		defer busy.Close()
		wantErr(t, "a busy port", Serve(ctx, "tcp", busy.Addr().String(), echo, WithBackend(name)), unix.EADDRINUSE)
		err = Serve(ctx, "tcp", busy.Addr().String(), echo, WithBackend(name), WithLoops(2))
		wantErr(t, "a busy port, with loops", err, unix.EADDRINUSE)
		s := start(t, name, Serve, echo, WithLoops(2))
		err = Serve(ctx, "tcp", s.address, echo, WithBackend(name), WithLoops(2))
		wantErr(t, "a port that another server's loops share", err, unix.EADDRINUSE)
		ask(t, s.dial(t), "ping")
		must(t, "Serve", s.stop(t))
		var no context.Context
		for what, err := range map[string]error{
			"no context": Serve(no, "tcp", ":0", echo),
			"no handler": Serve(ctx, "tcp", ":0", nil),
			"no port":    Serve(ctx, "tcp", "localhost", echo),
			"no network": Serve(ctx, "tcp7", ":0", echo),
			"no backend": Serve(ctx, "tcp", "127.0.0.1:0", echo, WithBackend("nosuch")),
		} {
			if err == nil {
				t.Errorf("%s: no error", what)
			}
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		must(t, "Serve with a context that has ended", Serve(ended, "tcp", "127.0.0.1:0", echo, WithBackend(name)))
	})
}

// When the context ends what handlers wrote is sent, to peers who take their time, too.
func TestServeSendsWhatWasWritten(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		want := pattern(60_000)
		wrote := make(chan bool, 1)
		s := start(t, name, Serve, func(c Conn) error {
			for rest := want; len(rest) > 0; rest = rest[1000:] {
				if _, err := c.Write(rest[:1000]); err != nil {
					return err
				}
			}
			wrote <- true
			return c.Task().Sleep(time.Hour)
		})
		c := s.dial(t)
		<-wrote
		s.end(errors.New("closing time"))
		time.Sleep(2 * time.Millisecond)
		got, err := io.ReadAll(c)
		must(t, "the client's Read", err)
		same(t, "what was written", got, want)
		must(t, "Serve", s.wait(t))
	})
}

// A connection is closed when its handler returns, and the error goes to WithErrors; io.EOF and the server's own end
// do not.
func TestServeReportsErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			trouble := errors.New("trouble")
			var mu sync.Mutex
			var seen []error
			s := start(t, name, serve, func(c Conn) error {
				data, err := c.Next()
				if err != nil {
					return err
				}
				c.Write(data)
				switch string(data) {
				case "trouble":
					return trouble
				case "wait":
					return c.Task().Sleep(time.Hour)
				}
				_, err = c.Next()
				return err
			}, WithErrors(func(err error) {
				mu.Lock()
				seen = append(seen, err)
				mu.Unlock()
			}))
			for range 3 {
				c := s.dial(t)
				ask(t, c, "trouble")
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%s: the connection of a handler that has returned: %v", form, err)
				}
				c = s.dial(t)
				ask(t, c, "end")
				c.CloseWrite()
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%s: the connection of a handler that has returned: %v", form, err)
				}
			}
			ask(t, s.dial(t), "wait")
			ask(t, s.dial(t), "more")
			must(t, form, s.stop(t))
			if len(seen) != 3 || seen[0] != trouble || seen[2] != trouble {
				t.Errorf("%s: WithErrors saw %v", form, seen)
			}
		}
	})
}

// serves are the two forms of a server.
var serves = map[string]func(context.Context, string, string, func(Conn) error, ...Option) error{
	"Serve":  Serve,
	"Handle": Handle,
}

// Without WithErrors a connection's error is nobody else's trouble.
func TestServeDropsErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			s := start(t, name, serve, func(c Conn) error {
				c.Next()
				return errors.New("trouble")
			})
			for range 3 {
				c := s.dial(t)
				c.Write([]byte("x"))
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%s: %v", form, err)
				}
			}
			must(t, form, s.stop(t))
		}
	})
}

// A panic ends the server, all its loops, and is what it returns.
func TestServePanic(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			for _, waits := range []bool{false, true} {
				s := start(t, name, serve, func(c Conn) error {
					data, err := c.Next()
					if err != nil {
						return err
					}
					if string(data) == "panic" {
						if waits {
							must(t, "Yield", c.Task().Yield())
						}
						panicking(form)
					}
					_, err = c.Write(data)
					return err
				}, WithLoops(3))
				for range 10 {
					ask(t, s.dial(t), "ping")
				}
				s.dial(t).Write([]byte("panic"))
				wantPanic(t, s.wait(t), form)
			}
		}
	})
}

// With WithPanicsContained it ends its connection only.
func TestServePanicsContained(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			var mu sync.Mutex
			var seen []error
			s := start(t, name, serve, func(c Conn) error {
				data, err := c.Next()
				if err != nil {
					return err
				}
				switch string(data) {
				case "panic":
					panicking(form)
				case "goexit":
					runtime.Goexit()
				case "wait and panic":
					must(t, "Yield", c.Task().Yield())
					panicking(form)
				case "wait and goexit":
					must(t, "Yield", c.Task().Yield())
					runtime.Goexit()
				}
				c.Write(data)
				_, err = c.Next()
				return err
			}, WithPanicsContained(), WithErrors(func(err error) {
				mu.Lock()
				seen = append(seen, err)
				mu.Unlock()
			}))
			other := s.dial(t)
			ask(t, other, "ping")
			for range 5 {
				for _, message := range []string{"panic", "goexit", "wait and panic", "wait and goexit"} {
					c := s.dial(t)
					c.Write([]byte(message))
					if _, err := c.Read(make([]byte, 1)); err != io.EOF {
						t.Errorf("%s: %q: the connection: %v", form, message, err)
					}
				}
			}
			other.CloseWrite()
			if _, err := other.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: the other connection: %v", form, err)
			}
			must(t, form, s.stop(t))
			if len(seen) != 10 {
				t.Errorf("%s: WithErrors saw %d of 10 panics", form, len(seen))
			}
			for _, err := range seen {
				wantPanic(t, err, form)
			}
		}
	})
}

// A listener that fails for good ends the server, with its error, and does not leave it deaf.
func TestServeListenerFails(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			s := start(t, name, serve, func(c Conn) error {
				if _, err := c.Next(); err != nil {
					return err
				}
				unix.Shutdown(c.c.loop.listeners[0].fd, unix.SHUT_RD) // whereupon Linux's accept says EINVAL
				return nil
			}, WithErrors(func(error) {}))
			c := s.dial(t)
			c.Write([]byte("x"))
			if runtime.GOOS != "linux" {
				s.end(nil)
			}
			if err := s.wait(t); runtime.GOOS == "linux" && !errors.Is(err, unix.EINVAL) {
				t.Errorf("%s: %v", form, err)
			}
		}
	})
}

// Clients come and go in numbers.
func TestServeManyShortConnections(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			s := start(t, name, serve, echoOnce)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 50 {
						c := s.dial(t)
						if got := ask(t, c, "ping"); got != "ping" {
							t.Errorf("%s: got %q", form, got)
						}
						c.Close()
					}
				})
			}
			wg.Wait()
			if !eventually(func() bool { return s.stats(t)[0].Conns == 1 }) {
				t.Errorf("%s: %d connections are left", form, s.stats(t)[0].Conns-1)
			}
			must(t, form, s.stop(t))
		}
	})
}

// echoOnce is a handler for both forms: it sends back what came, once or until the end.
func echoOnce(c Conn) error {
	data, err := c.Next()
	if err != nil {
		return err
	}
	_, err = c.Write(data)
	return err
}
