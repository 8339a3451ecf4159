package reactor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Where the process is out of descriptors a listener pauses, says so, and goes on when there are some again; it never
// spins, and never stops for good. The server is a child, so that nobody else is out of descriptors.
func TestOutOfDescriptors(t *testing.T) {
	for _, form := range []string{"AcceptConn", "Serve", "Handle", "Shared"} {
		t.Run(form, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, name string) { outOfDescriptors(t, form, name) })
		})
	}
}

func outOfDescriptors(t *testing.T, form, name string) {
	const room, conns = 8, 20
	server := startChild(t, "emfile", form+" "+name)
	address := server.line()
	var clients []net.Conn
	dial := func() net.Conn {
		c, err := net.Dial("tcp", address)
		must(t, "Dial", err)
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(limit))
		return c
	}
	for range conns {
		clients = append(clients, dial())
	}
	for _, c := range clients[:room] {
		ask(t, c, "ping")
	}
	paused := server.line()
	if want := "paused: reactor: accept: too many open files; trying again in "; !strings.HasPrefix(paused, want) {
		t.Errorf("the server says %q, want %q and how long", paused, want)
	}

	// Nothing happens now but that it tries again, less and less often.
	turns := server.turns(t)
	time.Sleep(50 * time.Millisecond)
	if n := server.turns(t) - turns; n > 30 {
		t.Errorf("%d turns in 50 ms with nothing to do", n)
	}

	// As some go others come, to the last.
	for i, c := range clients {
		if got := ask(t, c, "pong"); got != "pong" {
			t.Errorf("client %d got %q", i, got)
		}
		c.Close()
	}
	for range 3 {
		c := dial()
		ask(t, c, "again")
		c.Close()
	}
}

// turns asks the server how many turns its loop has made.
func (c *child) turns(t testing.TB) (n int) {
	t.Helper()
	c.tell("turns")
	for {
		line := c.line()
		if _, err := fmt.Sscanf(line, "turns %d", &n); err == nil {
			return n
		}
		if !strings.HasPrefix(line, "paused: ") {
			t.Errorf("the server says %q", line)
		}
	}
}

func init() {
	children["emfile"] = func(argument string) int {
		form, name, _ := strings.Cut(argument, " ")
		ctx, cancel := context.WithCancel(context.Background())
		opts := []Option{WithBackend(name), WithErrors(func(err error) {
			var e *AcceptError
			if errors.As(err, &e) && errors.Is(err, unix.EMFILE) && e.Retry > 0 {
				fmt.Println("paused:", err)
			} else {
				fmt.Println("error:", err)
			}
		})}
		listening := func(l Listening) {
			leaveDescriptors(8)
			go obey(l.Stats, cancel)
			fmt.Println(l.Addr)
		}
		var err error
		switch form {
		case "Serve":
			err = Serve(ctx, "tcp", "127.0.0.1:0", echo, append(opts, WithListening(listening))...)
		case "Handle":
			err = Handle(ctx, "tcp", "127.0.0.1:0", echoOnce, append(opts, WithListening(listening))...)
		default:
			err = acceptAll(ctx, form == "Shared", listening, opts)
		}
		if err != nil && err != context.Canceled {
			fmt.Println("error:", err)
			return 1
		}
		return 0
	}
}

// acceptAll is a server of AcceptConn, or of SharedListener.Accept.
func acceptAll(ctx context.Context, shared bool, listening func(Listening), opts []Option) error {
	l, err := New(opts...)
	if err != nil {
		return err
	}
	l.Go(func(task Task) error {
		ln, err := Listen(task, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		listening(Listening{Addr: ln.Addr(), Stats: func(ctx context.Context) ([]Stats, error) {
			return askStats(ctx, "Stats", []*Loop{l})
		}})
		if shared {
			go echoShared(ln.Shared())
			return nil
		}
		for {
			c, err := ln.AcceptConn()
			if err != nil {
				return err
			}
			task.Go(func(Task) error {
				defer c.Close()
				return echo(c)
			})
		}
	})
	return l.Run(ctx)
}

func echoShared(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(onlyWriter{c}, onlyReader{c}) // splice(2) would have descriptors of its own
			c.Close()
		}()
	}
}

// A connection that cannot be shared, since no descriptor is left, is closed, and says why.
func TestSharedWithoutDescriptors(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		c := startChild(t, "shares", name)
		for range 4 {
			if line := c.line(); !strings.HasSuffix(line, ": too many open files") {
				t.Errorf("the child says %q", line)
			}
		}
		if line := c.line(); line != "EOF" {
			t.Errorf("the peer's read: %q", line)
		}
	})
}

func init() {
	children["shares"] = func(name string) int {
		l, err := New(WithBackend(name))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		l.Go(func(task Task) error {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			peer, err := Dial(task, "tcp", ln.Addr().String())
			if err != nil {
				return err
			}
			c, err := ln.AcceptConn()
			if err != nil {
				return err
			}
			leaveDescriptors(0)
			s := c.Shared()
			_, err = s.Read(make([]byte, 1))
			fmt.Println(err)
			_, err = s.Write([]byte("x"))
			fmt.Println(err)
			fmt.Println(s.SetNoDelay(true))
			fmt.Println(s.Close())
			_, err = peer.Next()
			fmt.Println(err)
			return nil
		})
		if err := l.Run(context.Background()); err != nil {
			fmt.Println(err)
			return 1
		}
		return 0
	}
}

// leaveDescriptors lowers the process's limit, so that it can open n more.
func leaveDescriptors(n int) {
	warm()
	var free []int // the numbers that come next
	for range n + 1 {
		fd, err := unix.Dup(0)
		if err != nil {
			fmt.Println("error:", err)
		}
		free = append(free, fd)
	}
	for _, fd := range free {
		unix.Close(fd)
	}
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	if err == nil {
		setLimit(&limit.Cur, free[n])
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
	if err != nil {
		fmt.Println("error:", err)
	}
}

// setLimit is there since systems do not agree on the type.
func setLimit[T int64 | uint64](limit *T, n int) { *limit = T(n) }

// obey does what the parent says, until it says nothing any more.
func obey(stats func(context.Context) ([]Stats, error), cancel func()) {
	defer cancel()
	for scan := bufio.NewScanner(os.Stdin); scan.Scan(); {
		all, _ := stats(context.Background())
		fmt.Println("turns", all[0].Turns)
	}
}

// An error of one connection, which accept(2) returns in place of it, costs the others nothing but a pause.
func TestErrorOfOneConnection(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, errno := range []unix.Errno{unix.EPROTO, unix.ECONNABORTED} {
			var paused []error
			run(t, name, func(task Task) {
				ln, err := Listen(task, "tcp", "127.0.0.1:0")
				must(t, "Listen", err)
				spyOn(task.Loop()).acceptErr = errno
				var peers [2]net.Conn
				off(t, task, func() {
					for i := range peers {
						peers[i], err = net.Dial("tcp", ln.Addr().String())
						must(t, "Dial", err)
					}
				})
				c, err := ln.AcceptConn()
				must(t, "AcceptConn", err)
				if got := c.RemoteAddr().String(); got != peers[1].LocalAddr().String() {
					t.Errorf("it is the connection of %s, want %v", got, peers[1].LocalAddr())
				}
				for _, peer := range peers {
					peer.Close()
				}
				must(t, "Close", errors.Join(c.Close(), ln.Close()))
			}, WithErrors(func(err error) { paused = append(paused, err) }))
			if len(paused) != 1 || !errors.Is(paused[0], errno) {
				t.Errorf("WithErrors was called with %v, want %v once", paused, errno)
			}
		}
	})
}
