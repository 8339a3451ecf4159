package reactor

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eyewall/eyewall/internal/testenv"
)

// What is sent comes back, in the handler form.
func TestHandleEcho(t *testing.T) {
	handlers := map[string]func(Conn) error{
		"Next": echoOnce,
		"Read": func(c Conn) error {
			var buf [1000]byte // may be less than there is: it is called again
			n, err := c.Read(buf[:])
			if err != nil {
				return err
			}
			_, err = c.Writev([][]byte{buf[:n/2], buf[n/2 : n]})
			return err
		},
		"Flush":   func(c Conn) error { return errors.Join(echoOnce(c), c.Flush()) },
		"forever": echo,
		"now and then it waits": func(c Conn) error {
			if c.Task().Loop().Stats().Calls%3 == 0 {
				if err := c.Task().Yield(); err != nil {
					return err
				}
			}
			return echoOnce(c)
		},
	}
	for way, handle := range handlers {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				s := start(t, name, Handle, handle)
				for _, size := range echoSizes {
					if size <= 100_000 || !testenv.Race {
						exchange(t, s.dial(t), size)
					}
				}
				must(t, "Handle", s.stop(t))
			})
		})
	}
}

// A handler is called for the end of the stream, too, where that has come together with the last bytes.
func TestHandleIsToldOfTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var got, ends atomic.Int64
		s := start(t, name, Handle, func(c Conn) error {
			data, err := c.Next()
			got.Add(int64(len(data)))
			if err == io.EOF {
				ends.Add(1)
			}
			return err
		})
		const conns = 20
		for range conns {
			c := s.dial(t)
			_, err := c.Write([]byte("the end"))
			must(t, "Write", errors.Join(err, c.CloseWrite()))
			if _, err := c.Read(make([]byte, 1)); !isEOF(err) {
				t.Errorf("Read at the end: %v", err)
			}
		}
		must(t, "Handle", s.stop(t))
		if got.Load() != 7*conns || ends.Load() != conns {
			t.Errorf("handlers got %d bytes and %d ends, of %d and %d", got.Load(), ends.Load(), 7*conns, conns)
		}
	})
}

// A handler that does not wait costs no task, and an idle connection holds no stack.
func TestHandleHoldsNoStack(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		s := start(t, name, Handle, echoOnce)
		ask(t, s.dial(t), "warm up")
		before := runtime.NumGoroutine()
		const conns = 100
		for range conns {
			c := s.dial(t)
			ask(t, c, "ping")
			ask(t, c, "pong")
		}
		stats := s.stats(t)[0]
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("there were %d goroutines, and with %d connections there are %d", before, conns, n)
		}
		if stats.Tasks > 1 || stats.Waited != 0 || stats.Calls < 2*conns || stats.Conns != conns+2 {
			t.Errorf("%d tasks, %d calls of which %d waited, %d connections", stats.Tasks, stats.Calls, stats.Waited, stats.Conns)
		}
		must(t, "Handle", s.stop(t))
	})
}

// Handlers of different connections wait beside each other; for one connection there is one call at a time.
func TestHandleThatWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		busy := map[Conn]bool{}
		s := start(t, name, Handle, func(c Conn) error {
			if busy[c] {
				t.Error("the handler is called twice at a time for one connection")
			}
			busy[c] = true
			defer func() { busy[c] = false }()
			data, err := c.Next()
			if err != nil {
				return err
			}
			kept := string(data)
			if strings.HasPrefix(kept, "slow") {
				if err := c.Task().Sleep(2 * time.Millisecond); err != nil {
					return err
				}
				same(t, "what is lent, later", data, []byte(kept))
			}
			_, err = c.Write(data)
			return err
		})
		slow, quick := s.dial(t), s.dial(t)
		for range 5 {
			slow.Write([]byte("slow"))
			for range 10 {
				ask(t, quick, "quick")
			}
			slow.Write([]byte("slow")) // perhaps while it is being handled
			if _, err := io.ReadFull(slow, make([]byte, 8)); err != nil {
				t.Errorf("the slow one: %v", err)
			}
		}
		must(t, "Handle", s.stop(t))
	})
}

// A handler that has not read all is called again, and the end of the stream is a call, too.
func TestHandleIsCalledForWhatIsLeft(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var calls, ends atomic.Int32
		s := start(t, name, Handle, func(c Conn) error {
			calls.Add(1)
			var one [1]byte
			if _, err := c.Read(one[:]); err != nil {
				if err != io.EOF {
					t.Errorf("Read: %v", err)
				}
				ends.Add(1)
				return err
			}
			_, err := c.Write(one[:])
			return err
		})
		c := s.dial(t)
		if got := ask(t, c, "ten bytes."); got != "ten bytes." {
			t.Errorf("got %q", got)
		}
		c.CloseWrite()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
		must(t, "Handle", s.stop(t))
		if calls.Load() != 11 || ends.Load() != 1 {
			t.Errorf("%d calls, of which %d met the end; want 11 and 1", calls.Load(), ends.Load())
		}
	})
}

// One that reads nothing is not called again for the same bytes over and over.
func TestHandleThatReadsNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var calls atomic.Int32
		s := start(t, name, Handle, func(c Conn) error { calls.Add(1); return nil })
		c := s.dial(t)
		c.Write([]byte("x"))
		if !eventually(func() bool { return calls.Load() > 0 }) {
			t.Error("it is never called")
		}
		time.Sleep(3 * time.Millisecond)
		if n := calls.Load(); n > 2 {
			t.Errorf("it was called %d times for one message", n)
		}
		c.CloseWrite()
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("its connection is not closed at the end of the stream: %v", err)
		}
		must(t, "Handle", s.stop(t))
		if n := calls.Load(); n > 3 {
			t.Errorf("it was called %d times", n)
		}
	})
}

// A handler may close its connection, at once or later, and let another task have it.
func TestHandleCloses(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		s := start(t, name, Handle, func(c Conn) error {
			data, err := c.Next()
			if err != nil {
				return err
			}
			switch string(data) {
			case "now":
				c.Write([]byte("bye"))
				return c.Close()
			case "later":
				c.Task().Go(func(task Task) error {
					if err := task.Sleep(time.Millisecond); err != nil {
						return err
					}
					c.Write([]byte("bye"))
					return c.Close()
				})
				return nil
			case "waiting":
				if err := c.Task().Sleep(time.Millisecond); err != nil {
					return err
				}
				c.Write([]byte("bye"))
				return c.Close()
			}
			return errors.New("what?")
		}, WithErrors(func(err error) { t.Errorf("WithErrors: %v", err) }))
		for range 3 {
			for _, message := range []string{"now", "later", "waiting"} {
				c := s.dial(t)
				c.Write([]byte(message))
				got, err := io.ReadAll(c)
				if string(got) != "bye" || err != nil {
					t.Errorf("%q: got %q, %v", message, got, err)
				}
			}
		}
		must(t, "Handle", s.stop(t))
	})
}

// All that tasks can do a handler can: here it asks another server for each message.
func TestHandleDials(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		behind := start(t, name, Serve, echo)
		s := start(t, name, Handle, func(c Conn) error {
			data, err := c.Next()
			if err != nil {
				return err
			}
			up, err := Dial(c.Task(), "tcp", behind.address)
			if err != nil {
				return err
			}
			defer up.Close()
			up.Write(data)
			answer := make([]byte, len(data))
			if _, err := io.ReadFull(up, answer); err != nil {
				return err
			}
			_, err = c.Write(answer)
			return err
		}, WithErrors(func(err error) { t.Errorf("WithErrors: %v", err) }))
		for range 10 {
			if got := ask(t, s.dial(t), "ping"); got != "ping" {
				t.Errorf("got %q", got)
			}
		}
		must(t, "Handle", s.stop(t))
		must(t, "Serve", behind.stop(t))
	})
}

// Handlers that wait when the server's context ends are told so, with their defers.
func TestHandleAtTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var waiting, told atomic.Int32
		s := start(t, name, Handle, func(c Conn) error {
			data, err := c.Next()
			if err != nil {
				return err
			}
			defer told.Add(1)
			waiting.Add(1)
			switch string(data) {
			case "sleep":
				err = c.Task().Sleep(time.Hour)
			case "read":
				_, err = c.Next()
			case "write":
				_, err = c.Write(make([]byte, 32<<20))
			}
			wantErr(t, string(data), err, ErrCanceled)
			return err
		}, WithLinger(10*time.Millisecond), WithErrors(func(err error) { t.Errorf("WithErrors: %v", err) }))
		for _, message := range []string{"sleep", "read", "write"} {
			s.dial(t).Write([]byte(message))
		}
		if !eventually(func() bool { return waiting.Load() == 3 }) {
			t.Error("they were never called")
		}
		time.Sleep(time.Millisecond)
		must(t, "Handle", s.stop(t))
		if told.Load() != 3 {
			t.Errorf("%d of 3 were told", told.Load())
		}
	})
}
