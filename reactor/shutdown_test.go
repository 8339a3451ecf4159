package reactor

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// A server that drains takes no new connection, lets those that it has go on, and ends with the last of them.
func TestDrain(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			for _, opts := range [][]Option{{WithLoops(1)}, {WithLoops(3)}, {WithLoops(3), WithOneAcceptor()}} {
				s := start(t, name, serve, map[string]func(Conn) error{"Serve": echo, "Handle": echoOnce}[form], append(opts, WithDrain(limit))...)
				clients := []net.Conn{s.dial(t), s.dial(t), s.dial(t)}
				for _, c := range clients {
					ask(t, c, "before")
				}
				s.end(nil)
				if !eventually(func() bool {
					c, err := net.Dial("tcp", s.address)
					if err == nil {
						c.Close()
					}
					return err != nil
				}) {
					t.Errorf("%s: it still accepts", form)
				}
				for _, c := range clients {
					ask(t, c, "after")
					select {
					case err := <-s.result:
						t.Fatalf("%s: it has ended, with %v, before its connections", form, err)
					default:
					}
					c.Close()
				}
				must(t, form, s.wait(t))
			}
		}
	})
}

// Those that do not end in time are cut, and counted.
func TestDrainCuts(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			s := start(t, name, serve, map[string]func(Conn) error{"Serve": echo, "Handle": echoOnce}[form], WithLoops(2), WithDrain(20*time.Millisecond))
			clients := []net.Conn{s.dial(t), s.dial(t), s.dial(t)}
			for _, c := range clients {
				ask(t, c, "before")
			}
			err := s.stop(t)
			var cut *ShutdownError
			if !errors.As(err, &cut) || cut.Conns != len(clients) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", form, err)
			}
			for _, c := range clients {
				if _, err := c.Read(make([]byte, 1)); err == nil {
					t.Errorf("%s: a connection is open", form)
				}
			}
		}
	})
}

// A loop that never ran is closed; one that has ended is no trouble; one of a group is the group's.
func TestShutdownEnds(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		must(t, "Shutdown", l.Shutdown(context.Background()))
		if err := l.Run(context.Background()); !errors.Is(err, ErrLoopEnded) {
			t.Errorf("Run then: %v", err)
		}
		must(t, "a second Shutdown", l.Shutdown(context.Background()))

		g, err := NewGroup(WithBackend(name), WithLoops(2))
		must(t, "NewGroup", err)
		if err := g.Loops()[0].Shutdown(context.Background()); err != errGroups {
			t.Errorf("Shutdown of one of a group: %v", err)
		}
		must(t, "Shutdown of a group", g.Shutdown(context.Background()))
	})
}

// A task sees that its loop drains, and can end at a message's end.
func TestDraining(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		down := make(chan error, 1)
		must(t, "Run", runLoop(t, l, func(task Task) error {
			go func() { down <- l.Shutdown(context.Background()) }()
			for !l.Draining() {
				if err := task.Sleep(time.Millisecond); err != nil {
					return err
				}
			}
			return io.EOF
		}))
		must(t, "Shutdown", <-down)
	})
}

// A task that goes on is canceled when the time is over.
func TestShutdownCancels(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		down := make(chan error, 1)
		must(t, "Run", runLoop(t, l, func(task Task) error {
			ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Millisecond, io.ErrNoProgress)
			defer cancel()
			go func() { down <- l.Shutdown(ctx) }()
			wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled)
			return nil
		}))
		var cut *ShutdownError
		if err := <-down; !errors.As(err, &cut) || cut.Tasks != 1 || !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// A connection that a task left open, which nobody can close any more, holds up nothing, and an error that a task has
// returned is told though others are cut.
func TestShutdownLeftOvers(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		down := make(chan error, 1)
		must(t, "Run", runLoop(t, l, func(task Task) error {
			pair(t, task)
			go func() { down <- l.Shutdown(context.Background()) }()
			for !l.Draining() {
				must(t, "Sleep", task.Sleep(time.Millisecond))
			}
			return nil
		}))
		must(t, "Shutdown", <-down)

		l = testLoop(t, name)
		err := runLoop(t, l, func(task Task) error {
			task.Go(func(Task) error { return io.ErrNoProgress })
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			must(t, "Offload", Offload(task, func() error {
				go func() { down <- l.Shutdown(ctx) }()
				return nil
			}))
			wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled)
			return nil
		})
		if <-down == nil || err != io.ErrNoProgress {
			t.Errorf("Run returned %v", err)
		}
	})
}

// Shutdown may be what a task has offloaded.
func TestShutdownOffloaded(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		must(t, "Run", runLoop(t, l, func(task Task) error {
			wantErr(t, "Offload", Offload(task, func() error { return l.Shutdown(ctx) }), ErrCanceled)
			return nil
		}))
	})
}

// What is cut is told without the listeners, and the server's own tasks for them, that end by themselves: also where
// there is no time at all.
func TestShutdownTellsWhatItCuts(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, conns := range []int{0, 1, 3} {
			ctx, cancel := context.WithCancelCause(context.Background())
			cancel(errCause)
			g, err := NewGroup(WithBackend(name), WithLoops(2))
			must(t, "NewGroup", err)
			addr, err := g.Serve(ctx, "tcp", "127.0.0.1:0", echo)
			must(t, "Serve", err)
			ended := make(chan error)
			go func() { ended <- g.Run(context.Background()) }()
			for _, l := range g.loops {
				eventually(func() bool { return l.state.Load() == running })
			}
			for range conns {
				c, err := net.Dial("tcp", addr.String())
				must(t, "Dial", err)
				defer c.Close()
				ask(t, c, "before")
			}
			other := make(chan error, 1)
			if conns == 0 {
				go func() { other <- g.Shutdown(ctx) }()
				must(t, "Shutdown of an idle server", errors.Join(g.Shutdown(ctx), <-other))
				must(t, "Run", <-ended)
				continue
			}
			err = g.Shutdown(ctx)
			must(t, "Run", <-ended)
			if cut := (*ShutdownError)(nil); !errors.As(err, &cut) || cut.Tasks != conns || cut.Conns != conns || !errors.Is(err, errCause) {
				t.Errorf("Shutdown with %d connections: %v", conns, err)
			}
		}
	})
}
