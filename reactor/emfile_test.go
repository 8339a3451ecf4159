package reactor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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
	for _, form := range []string{"AcceptConn", "Serve", "Handle"} {
		t.Run(form, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, name string) { outOfDescriptors(t, form+" "+name) })
		})
	}
}

func outOfDescriptors(t *testing.T, argument string) {
	const room, conns = 8, 20
	server := startChild(t, "emfile", argument)
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
	turns, cpu := server.report(t)
	time.Sleep(50 * time.Millisecond)
	moreTurns, moreCPU := server.report(t)
	if n := moreTurns - turns; n > 30 {
		t.Errorf("%d turns in 50 ms with nothing to do", n)
	}
	if d := moreCPU - cpu; d > 40*time.Millisecond {
		t.Errorf("%v of CPU time in 50 ms with nothing to do", d)
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

// report asks the server how many turns its loop has made, and how much CPU time it has used.
func (c *child) report(t testing.TB) (turns int, cpu time.Duration) {
	t.Helper()
	c.tell("report")
	for {
		line := c.line()
		if n, _ := fmt.Sscanf(line, "turns %d cpu %d", &turns, &cpu); n == 2 {
			return turns, cpu
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
			err = acceptAll(ctx, listening, opts)
		}
		if err != nil && err != context.Canceled {
			fmt.Println("error:", err)
			return 1
		}
		return 0
	}
}

// acceptAll is a server of AcceptConn.
func acceptAll(ctx context.Context, listening func(Listening), opts []Option) error {
	l, err := New(opts...)
	if err != nil {
		return err
	}
	l.Go(func(task Task) error {
		ln, err := Listen(task, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		listening(Listening{Addr: ln.Addr(), Stats: func() []Stats { return askStats([]*Loop{l}) }})
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
func obey(stats func() []Stats, cancel func()) {
	defer cancel()
	for scan := bufio.NewScanner(os.Stdin); scan.Scan(); {
		var usage unix.Rusage
		unix.Getrusage(unix.RUSAGE_SELF, &usage)
		fmt.Println("turns", stats()[0].Turns, "cpu", usage.Utime.Nano()+usage.Stime.Nano())
	}
}
