package reactor

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A read deadline that passes while the handler is at work, or that has passed when it is set, is told by another call.
func TestHandleIsToldOfDeadlineDuringCall(t *testing.T) {
	for what, set := range map[string]func(c Conn) error{
		"passes while it waits": func(c Conn) error {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			return c.Task().Sleep(10 * time.Millisecond)
		},
		"passes while it computes": func(c Conn) error {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			time.Sleep(5 * time.Millisecond)
			return nil
		},
		"in the past": func(c Conn) error { return c.SetReadDeadline(time.Now().Add(-time.Second)) },
		"told within the call, then set again": func(c Conn) error {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Next(); !errors.Is(err, ErrDeadline) {
				return err
			}
			return c.SetReadDeadline(time.Now().Add(time.Millisecond))
		},
		"passes while input comes": func(c Conn) error {
			c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			return c.Task().Sleep(20 * time.Millisecond)
		},
	} {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				told := make(chan error, 1)
				s := start(t, name, Handle, func(c Conn) error {
					_, err := c.Next()
					if err != nil {
						told <- err
						return err
					}
					return set(c)
				})
				_, err := s.dial(t).Write([]byte("x"))
				must(t, "Write", err)
				select {
				case err := <-told:
					wantErr(t, "the handler's Next", err, ErrDeadline)
				case <-time.After(limit):
					t.Error("the handler was not called for its deadline")
				}
				must(t, "Handle", s.stop(t))
			})
		})
	}
}

// A handler that is told of its deadline within a call, or that lets it pass, is not called for it again.
func TestHandleIsToldOfDeadlineOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var calls atomic.Int32
		s := start(t, name, Handle, func(c Conn) error {
			switch calls.Add(1) {
			case 1:
				_, err := c.Next()
				c.SetReadDeadline(time.Now().Add(time.Millisecond))
				return err
			case 2: // for the deadline, to which it says nothing
				return nil
			}
			_, err := c.Next()
			return err
		})
		c := s.dial(t)
		c.Write([]byte("x"))
		if !eventually(func() bool { return calls.Load() >= 2 }) {
			t.Error("the handler was not called for its deadline")
		}
		time.Sleep(5 * time.Millisecond)
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls", n)
		}
		must(t, "Handle", s.stop(t))
	})
}

// A handler that reads nothing is called again; one that reads nothing twice is in error, and does not spin.
func TestHandleWithoutProgress(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var calls atomic.Int32
		errs := make(chan error, 10)
		s := start(t, name, Handle, func(c Conn) error {
			if calls.Add(1) == 1 {
				return nil // it will be called again
			}
			data, err := c.Next()
			if err != nil {
				return err
			}
			if string(data) == "never" {
				t.Error("it was to read nothing")
			}
			_, err = c.Write(data)
			return err
		}, WithErrors(func(err error) { errs <- err }))
		if got := ask(t, s.dial(t), "ping"); got != "ping" {
			t.Errorf("the handler that read at its second call has sent %q", got)
		}
		must(t, "Handle", s.stop(t))

		calls.Store(0)
		s = start(t, name, Handle, func(Conn) error { calls.Add(1); return nil },
			WithErrors(func(err error) { errs <- err }))
		c := s.dial(t)
		c.Write([]byte("never"))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the connection goes on")
		}
		select {
		case err := <-errs:
			if !strings.Contains(err.Error(), "read nothing") {
				t.Errorf("the error is %v", err)
			}
		case <-time.After(limit):
			t.Error("no error was told")
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("the handler was called %d times", n)
		}
		must(t, "Handle", s.stop(t))
	})
}

// The end of the input that comes while a handler is at work which reads nothing more is told by another call.
func TestHandleIsToldOfEndDuringCall(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		told := make(chan error, 1)
		s := start(t, name, Handle, func(c Conn) error {
			if _, err := c.Next(); err != nil {
				told <- err
				return err
			}
			return c.Task().Sleep(10 * time.Millisecond)
		})
		c := s.dial(t)
		c.Write([]byte("x"))
		must(t, "CloseWrite", c.CloseWrite())
		select {
		case err := <-told:
			if err != io.EOF {
				t.Errorf("the handler was told %v", err)
			}
		case <-time.After(limit):
			t.Error("the handler was not told of the end")
		}
		must(t, "Handle", s.stop(t))
	})
}

// Input that came before the deadline is what the handler is called for, though the loop was held until after it; then the
// handler hears of the deadline.
func TestHandleLateInput(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		got := make(chan string, 1)
		told := make(chan error, 1)
		entered, sent := make(chan bool), make(chan bool)
		s := start(t, name, Handle, func(c Conn) error {
			data, err := c.Next()
			switch {
			case err != nil:
				told <- err
			case string(data) == "hold":
				close(entered)
				<-sent // which holds the loop
				passes(func(deadline time.Time) { c.SetReadDeadline(deadline) })
			default:
				got <- string(data)
			}
			return err
		})
		c := s.dial(t)
		c.Write([]byte("hold"))
		<-entered
		c.Write([]byte("in time"))
		close(sent)
		select {
		case data := <-got:
			if data != "in time" {
				t.Errorf("the handler got %q", data)
			}
			wantErr(t, "the handler's Next after that", <-told, ErrDeadline)
		case err := <-told:
			t.Errorf("the handler was told %v, and there was input", err)
		}
		must(t, "Handle", s.stop(t))
	})
}
