package reactor

import (
	"net"
	"testing"
	"time"
)

// A handle on a closed connection never touches the one that has its memory, and perhaps its descriptor's number, next.
func TestStaleHandles(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			memory := map[*conn]bool{a.c: true, b.c: true}
			stale := []Conn{a, b}
			// These wait while their connection is closed, and run only when it is another.
			ended := 0
			for _, wait := range []func() error{
				func() error { _, err := a.Next(); return err },
				func() error { _, err := a.Read(make([]byte, 1)); return err },
				func() error { _, err := b.Next(); return err },
			} {
				task.Go(func(Task) error {
					wantErr(t, "a wait", wait(), ErrClosed)
					ended++
					return nil
				})
			}
			must(t, "Yield", task.Yield())
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
			when(t, task, "all waits have ended", func() bool { return ended == 3 && task.Loop().open == 0 })

			c, d := pair(t, task)
			if !memory[c.c] || !memory[d.c] {
				t.Fatal("the memory is not used again")
			}
			must(t, "SetDeadline", c.SetDeadline(time.Now().Add(time.Hour)))
			for _, s := range stale {
				if s == c || s == d {
					t.Error("a stale handle equals a new one")
				}
				for what, call := range map[string]func() error{
					"Next":        func() error { _, err := s.Next(); return err },
					"Read":        func() error { _, err := s.Read(make([]byte, 1)); return err },
					"Write":       func() error { _, err := s.Write([]byte("stray")); return err },
					"large Write": func() error { _, err := s.Write(make([]byte, directSize)); return err },
					"Writev":      func() error { _, err := s.Writev([][]byte{[]byte("stray")}); return err },
					"Flush":       s.Flush,
					"CloseWrite":  s.CloseWrite,
					"Close":       s.Close,
					"SetDeadline": func() error { return s.SetDeadline(time.Unix(1, 0)) },
					"SetNoDelay":  func() error { return s.SetNoDelay(false) },
				} {
					wantErr(t, what, call(), ErrClosed)
				}
				if s.FD() != -1 {
					t.Errorf("FD is %d", s.FD())
				}
				for _, addr := range []net.Addr{s.LocalAddr(), s.RemoteAddr()} {
					if addr, ok := addr.(*net.TCPAddr); !ok || addr.Port != 0 {
						t.Errorf("an address is %v", addr)
					}
				}
			}
			c.Write([]byte("to d"))
			must(t, "Flush", c.Flush())
			if data, err := d.Next(); string(data) != "to d" || err != nil {
				t.Errorf("Next: %q, %v", data, err)
			}
			must(t, "Close", c.Close())
			must(t, "Close", d.Close())
		})
	})
}

// The zero Conn is a closed one.
func TestZeroConn(t *testing.T) {
	var c Conn
	_, err := c.Next()
	wantErr(t, "Next", err, ErrClosed)
	_, err = c.Write(nil)
	wantErr(t, "Write", err, ErrClosed)
	wantErr(t, "Close", c.Close(), ErrClosed)
	wantErr(t, "SetDeadline", c.SetDeadline(time.Time{}), ErrClosed)
	if c.FD() != -1 || c.LocalAddr() == nil || c.RemoteAddr() == nil || !c.Task().Done() {
		t.Error("the zero Conn names something")
	}
}

// What does not run in a task cannot wait for a connection.
func TestConnOutsideTask(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			called := false
			must(t, "Post", task.Loop().Post(func() {
				for what, call := range map[string]func() error{
					"Next":       func() error { _, err := a.Next(); return err },
					"Read":       func() error { _, err := a.Read(make([]byte, 1)); return err },
					"Write":      func() error { _, err := a.Write([]byte("x")); return err },
					"Writev":     func() error { _, err := a.Writev(nil); return err },
					"Flush":      a.Flush,
					"CloseWrite": a.CloseWrite,
					"Accept":     func() error { _, err := ln.Accept(); return err },
				} {
					wantErr(t, what, call(), ErrNotTask)
				}
				must(t, "SetDeadline", a.SetDeadline(time.Now().Add(time.Hour)))
				called = true
			}))
			when(t, task, "it was called", func() bool { return called })
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
			must(t, "Close", ln.Close())
		})
	})
}
