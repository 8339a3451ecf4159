package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A successor takes over the first socket that it inherits, and answers each connection with its name.
func init() {
	children["successor"] = func(name string) int {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())) // which only a service manager can know before
		files, err := InheritedFiles()
		if err != nil || len(files) != 1 || files[0].Name() != "web" {
			fmt.Println("inherited", files, err)
			return 1
		}
		g, err := NewGroup(WithBackend(name))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if _, err := g.ServeFile(files[0], answer("new")); err != nil {
			fmt.Println(err)
			return 1
		}
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
		fmt.Println("ready")
		if err := g.Run(ctx); err != context.Canceled {
			fmt.Println(err)
			return 1
		}
		return 0
	}
}

func answer(what string) func(Conn) error {
	return func(c Conn) error {
		if _, err := c.Next(); err != nil {
			return err
		}
		_, err := c.Write([]byte(what))
		return err
	}
}

// A server hands its socket over to a new process, and ends: every connection meanwhile is answered, by one of them.
func TestRestart(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, network := range []string{"tcp", "unix"} {
			for _, loops := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s/%d", network, loops), func(t *testing.T) { testRestart(t, name, network, loops) })
			}
		}
	})
}

func testRestart(t *testing.T, name, network string, loops int) {
	address := "127.0.0.1:0"
	if network == "unix" {
		address = socketPath(t)
	}
	made, err := net.Listen(network, address)
	must(t, "Listen", err)
	defer made.Close()
	f, err := made.(interface{ File() (*os.File, error) }).File()
	must(t, "File", err)
	defer f.Close()
	g, err := NewGroup(WithBackend(name), WithLoops(loops))
	must(t, "NewGroup", err)
	addr, err := g.ServeFile(f, answer("old"))
	must(t, "ServeFile", err)
	wantAddr(t, "the address", addr, made.Addr())
	ran := make(chan error, 1)
	go func() { ran <- g.Run(context.Background()) }()

	var answers [2]atomic.Int32 // of the old one, and of the new one
	var over atomic.Bool
	var clients sync.WaitGroup
	defer clients.Wait()
	defer over.Store(true)
	for range 4 {
		clients.Go(func() {
			for !over.Load() {
				got, err := askWho(network, addr.String())
				switch {
				case err != nil:
					t.Errorf("a connection has failed: %v", err)
					return
				case got == "old":
					answers[0].Add(1)
				case got == "new":
					answers[1].Add(1)
				default:
					t.Errorf("the answer is %q", got)
				}
			}
		})
	}
	grows := func(n *atomic.Int32) {
		t.Helper()
		from := n.Load()
		if !eventually(func() bool { return n.Load() >= from+10 }) {
			t.Error("it does not answer")
		}
	}
	grows(&answers[0])
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_FDNAMES", "web")
	successor := startChild(t, "successor", name, f)
	if line := successor.line(); line != "ready" {
		t.Fatalf("the successor says %q", line)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	must(t, "Shutdown", g.Shutdown(ctx))
	must(t, "Run", <-ran)
	grows(&answers[1])
}

// askWho asks a server once.
func askWho(network, address string) (string, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	if _, err := c.Write([]byte("who?")); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

// What is no listening stream socket is refused, with an error that says so.
func TestListenFile(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			path := socketPath(t)
			for _, c := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"unix", path}} {
				first, err := Listen(task, c.network, c.address)
				must(t, "Listen", err)
				f, err := first.File()
				must(t, "File", err)
				first.SetUnlinkOnClose(false)
				must(t, "Close", first.Close())
				must(t, "SetNonblock", unix.SetNonblock(int(f.Fd()), false))
				ln, err := ListenFile(task, f)
				must(t, "ListenFile", err)
				must(t, "Close", f.Close())
				wantAddr(t, "Addr", ln.Addr(), first.Addr())
				a, err := Dial(task, c.network, ln.Addr().String())
				must(t, "Dial", err)
				b, err := ln.AcceptConn()
				must(t, "Accept", err)
				if c.network == "tcp" {
					if on, err := unix.GetsockoptInt(b.FD(), unix.IPPROTO_TCP, unix.TCP_NODELAY); on == 0 || err != nil {
						t.Errorf("TCP_NODELAY is %d, %v", on, err)
					}
				}
				must(t, "Close", a.Close())
				must(t, "Close", b.Close())
				must(t, "Close", ln.Close())
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("an inherited socket's file: %v", err)
			}
			a, b := pair(t, task)
			f, err := a.File()
			must(t, "File", err)
			plain, err := os.CreateTemp(t.TempDir(), "")
			must(t, "CreateTemp", err)
			for _, f := range []*os.File{f, plain} {
				_, err := ListenFile(task, f)
				var e *net.OpError
				if !errors.As(err, &e) || e.Op != "listen" || !strings.Contains(err.Error(), f.Name()) {
					t.Errorf("ListenFile of %s: %v", f.Name(), err)
				}
				must(t, "Close", f.Close())
				if _, err := ListenFile(task, f); err == nil || !strings.Contains(err.Error(), "closed") {
					t.Errorf("ListenFile of a closed file: %v", err)
				}
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// Variables that are for another process, or are no numbers, give no descriptor.
func TestInheritedFiles(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct{ pid, fds, wrong string }{
		{"", "1", ""},
		{own, "", ""},
		{strconv.Itoa(os.Getppid()), "1", ""},
		{own, "0", ""},
		{"x", "1", "LISTEN_PID"},
		{own, "x", "LISTEN_FDS"},
		{own, "-1", "LISTEN_FDS"},
	} {
		t.Setenv("LISTEN_PID", c.pid)
		t.Setenv("LISTEN_FDS", c.fds)
		files, err := InheritedFiles()
		if len(files) > 0 || (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("with LISTEN_PID %q and LISTEN_FDS %q: %v, %v", c.pid, c.fds, files, err)
		}
	}
}

// A descriptor that is not there, or that this process has opened itself, such as the runtime's, is not taken for one
// that was passed: nothing is taken then.
func TestInheritedFilesOfOthers(t *testing.T) {
	leavesNothing(t)
	mine, err := os.Open(os.DevNull)
	must(t, "Open", err)
	defer mine.Close()
	fd := int(mine.Fd())
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	for _, n := range []int{fd - 2, 60_000} {
		t.Setenv("LISTEN_FDS", strconv.Itoa(n))
		files, err := InheritedFiles()
		if len(files) > 0 || err == nil || !strings.Contains(err.Error(), "LISTEN_FDS is "+strconv.Itoa(n)) {
			t.Errorf("with LISTEN_FDS %d, and descriptor %d its own: %d files, %v", n, fd, len(files), err)
		}
		if os.Getenv("LISTEN_FDS") == "" {
			t.Error("the variables were removed")
		}
	}
}
