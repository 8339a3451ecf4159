package reactor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// ownHost is an address of this machine on which hardly anybody else listens, another run of these tests included, so
// that a port is still free after its listener's end. Others than Linux have few addresses.
var ownHost = func() string {
	if isLinux {
		return fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	}
	return "127.0.0.1"
}()

// eachListener runs test on every backend, for a TCP listener and one on a Unix socket.
func eachListener(t *testing.T, test func(t *testing.T, name, network string, address func() string)) {
	eachBackend(t, func(t *testing.T, name string) {
		test(t, name, "tcp", func() string { return ownHost + ":0" })
		dir := t.TempDir()
		test(t, name, unixNetwork, func() string { return filepath.Join(dir, "s") })
	})
}

// wantNoListener fails a test if the system still has a listener's socket.
func wantNoListener(t testing.TB, what string, addr net.Addr) {
	t.Helper()
	if addr.Network() == unixNetwork {
		if _, err := os.Lstat(addr.String()); !os.IsNotExist(err) {
			t.Errorf("%s: the socket's file is there: %v", what, err)
		}
	}
	if c, err := net.Dial(addr.Network(), addr.String()); err == nil {
		c.Close()
		t.Errorf("%s: a client has connected to %v", what, addr)
	}
	ln, err := net.Listen(addr.Network(), addr.String())
	if err != nil {
		t.Errorf("%s: the address cannot be used again: %v", what, err)
		return
	}
	ln.Close()
}

// closesNow closes a listener, whose socket must be closed then.
func closesNow(t testing.TB, ln net.Listener) {
	t.Helper()
	must(t, "Close", ln.Close())
	wantNoListener(t, "after Close", ln.Addr())
	wantErr(t, "the second Close", ln.Close(), ErrClosed)
}

// accepting has a task wait for connections, and gives it three turns, after which its accept is in flight.
func accepting(t testing.TB, task Task, ln *Listener) {
	t.Helper()
	task.Go(func(Task) error {
		for {
			c, err := ln.AcceptConn()
			if err != nil {
				wantErr(t, "Accept", err, ErrClosed)
				return nil
			}
			c.Close()
		}
	})
	for range 3 {
		must(t, "Yield", task.Yield())
	}
}

// When Close returns in a task, the socket is closed: nobody can connect, and the address can be used again.
func TestListenerCloseCloses(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		run(t, name, func(task Task) {
			for _, accepts := range []bool{false, true} {
				for range 10 {
					ln, err := Listen(task, network, address())
					must(t, "Listen", err)
					if accepts {
						accepting(t, task, ln)
					}
					closesNow(t, ln)
				}
			}
		})
	})
}

// In a task, Dial finds a listener closed that Close has closed, and Listen finds its address free.
func TestListenerCloseInTasks(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, network, address())
			must(t, "Listen", err)
			addr := ln.Addr().String()
			for range 20 {
				accepting(t, task, ln)
				must(t, "Close", ln.Close())
				if c, err := Dial(task, network, addr); err == nil {
					t.Error("Dial has connected")
					c.Close()
				}
				ln, err = Listen(task, network, addr)
				must(t, "Listen again", err)
			}
			must(t, "Close", ln.Close())
		})
	})
}

// A task that is canceled closes a listener as any other does.
func TestListenerCloseCanceled(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		run(t, name, func(task Task) {
			sleeps := false
			closer := task.Go(func(task Task) error {
				ln, err := Listen(task, network, address())
				must(t, "Listen", err)
				accepting(t, task, ln)
				sleeps = true
				wantErr(t, "Sleep", task.Sleep(limit), ErrCanceled)
				must(t, "Close", ln.Close())
				wantNoListener(t, "after Close", ln.Addr())
				return nil
			})
			when(t, task, "it sleeps", func() bool { return sleeps })
			closer.Cancel()
			when(t, task, "it has ended", closer.Done)
		})
	})
}

// A task that is canceled while it closes a listener goes on waiting for the end of that.
func TestListenerCloseCanceledMeanwhile(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, network, address())
			must(t, "Listen", err)
			accepting(t, task, ln)
			closer := task.Go(func(Task) error {
				must(t, "Close", ln.Close())
				wantNoListener(t, "after Close", ln.Addr())
				return nil
			})
			task.Go(func(Task) error { closer.Cancel(); return nil })
			when(t, task, "it has ended", closer.Done)
		})
	})
}

// A posted function cannot wait: the loop closes the socket afterwards.
func TestListenerClosePosted(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, network, address())
			must(t, "Listen", err)
			accepting(t, task, ln)
			posted := false
			must(t, "Post", task.Loop().Post(func() {
				must(t, "Close", ln.Close())
				posted = true
			}))
			when(t, task, "the loop has closed it", func() bool { return posted && task.Loop().open == 0 })
			wantNoListener(t, "soon after Close", ln.Addr())
		})
	})
}

// A handler may close a listener, too.
func TestListenerCloseInHandler(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		g, err := NewGroup(WithBackend(name))
		must(t, "NewGroup", err)
		ctx, cancel := context.WithCancel(context.Background())
		addr, err := g.Handle(ctx, "tcp", "127.0.0.1:0", func(c Conn) error {
			defer cancel()
			c.Next()
			ln, err := Listen(c.Task(), network, address())
			must(t, "Listen", err)
			accepting(t, c.Task(), ln)
			must(t, "Close", ln.Close())
			wantNoListener(t, "after Close", ln.Addr())
			return nil
		})
		must(t, "Handle", err)
		peer, err := net.Dial("tcp", addr.String())
		must(t, "Dial", err)
		defer peer.Close()
		_, err = peer.Write([]byte("close"))
		must(t, "Write", err)
		wantErr(t, "Run", g.Run(ctx), context.Canceled)
	})
}

// When Close of a SharedListener returns, the socket is closed.
func TestSharedListenerCloseCloses(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		run(t, name, func(task Task) {
			for range 20 {
				ln, err := Listen(task, network, address())
				must(t, "Listen", err)
				s := ln.Shared()
				off(t, task, func() {
					client, err := net.Dial(network, s.Addr().String())
					must(t, "Dial", err)
					defer client.Close()
					c, err := s.Accept()
					must(t, "Accept", err)
					defer c.Close()
					closesNow(t, s)
				})
			}
		})
	})
}

// A SharedListener may be closed on a loop: a task of its own loop waits as any task does, and all others do not
// wait, or loops would wait for one another.
func TestSharedListenerCloseOnLoops(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, network, address())
			must(t, "Listen", err)
			s := ln.Shared()
			must(t, "Yield", task.Yield())
			must(t, "Close", s.Close())
			wantNoListener(t, "after Close in a task", s.Addr())

			ln, err = Listen(task, network, address())
			must(t, "Listen", err)
			s = ln.Shared()
			must(t, "Post", task.Loop().Post(func() { must(t, "Close", s.Close()) }))
			when(t, task, "the posted function has closed it", func() bool { return task.Loop().open == 0 })
			wantNoListener(t, "soon after Close in a posted function", s.Addr())

			ln, err = Listen(task, network, address())
			must(t, "Listen", err)
			s = ln.Shared()
			off(t, task, func() {
				run(t, name, func(other Task) {
					hold := make(chan struct{})
					defer close(hold)
					must(t, "Post", task.Loop().Post(func() { <-hold })) // so that it would wait for ever
					must(t, "Close", s.Close())
				})
			})
			when(t, task, "another loop's task has closed it", func() bool { return task.Loop().open == 0 })
			wantNoListener(t, "soon after Close in another loop's task", s.Addr())
		})
	})
}

// Close of a SharedListener returns though the loop ends meanwhile, or has ended, and the socket is closed then.
func TestSharedListenerCloseAtTheEnd(t *testing.T) {
	eachListener(t, func(t *testing.T, name, network string, address func() string) {
		for range 10 {
			l := testLoop(t, name)
			ctx, cancel := context.WithCancel(context.Background())
			shared := make(chan *SharedListener, 1)
			must(t, "Go", l.Go(func(task Task) error {
				ln, err := Listen(task, network, address())
				must(t, "Listen", err)
				shared <- ln.Shared()
				return nil
			}))
			ended := make(chan error, 1)
			go func() { ended <- runUntil(t, l, ctx) }()
			s := <-shared
			closed := make(chan error, 1)
			go func() {
				err := s.Close()
				wantNoListener(t, "after Close", s.Addr())
				closed <- err
			}()
			cancel()
			must(t, "Close", <-closed)
			if err := <-ended; err != nil { // else it had nothing to do any more
				wantErr(t, "Run", err, context.Canceled)
			}
			wantErr(t, "Close at the end", s.Close(), ErrClosed)
		}
	})
}

// FD is -1 once a listener is closed, as that of a Conn is.
func TestListenerFDClosed(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			if _, err := unix.FcntlInt(uintptr(ln.FD()), unix.F_GETFD, 0); err != nil {
				t.Errorf("FD is %d: %v", ln.FD(), err)
			}
			must(t, "Close", ln.Close())
			if fd := ln.FD(); fd != -1 {
				t.Errorf("FD is %d after Close", fd)
			}
		})
	})
}
