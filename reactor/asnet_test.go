package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// world is package net, or a loop, as a scenario sees it: what it does there is to come out the same.
type world struct {
	t       testing.TB
	network string // "tcp" or "unix"
	dial    func(network, address string) (net.Conn, error)
	listen  func(network, address string) (net.Listener, error)
	go_     func(func()) // runs it beside the scenario
	wait    func(what string, ok func() bool)
	mu      sync.Mutex
	said    []string
}

// say notes what came of a step.
func (w *world) say(what string, n any, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf("%s: %v, %s", what, n, describeError(err)))
}

// describeError is the part of an error that callers go by. A closed Conn knows no addresses, and the error of an
// unknown network has more words than package net's.
func describeError(err error) string {
	if err == nil {
		return "nil"
	}
	var is []string
	for what, target := range map[string]error{
		"closed": net.ErrClosed, "deadline": os.ErrDeadlineExceeded, "canceled": context.Canceled, "timeout": context.DeadlineExceeded,
		"EOF": io.EOF, "EPIPE": unix.EPIPE, "reset": unix.ECONNRESET, "refused": unix.ECONNREFUSED, "in use": unix.EADDRINUSE,
		"not there": os.ErrNotExist, "invalid": unix.EINVAL, "not available": unix.EADDRNOTAVAIL,
	} {
		if errors.Is(err, target) {
			is = append(is, what)
		}
	}
	var addr *net.AddrError
	var dns *net.DNSError
	var call *os.SyscallError
	var unknown net.UnknownNetworkError
	if errors.As(err, &addr) {
		is = append(is, "AddrError")
	}
	if errors.As(err, &dns) {
		is = append(is, fmt.Sprintf("DNSError, not found %v", dns.IsNotFound))
	}
	if errors.As(err, &call) {
		is = append(is, "SyscallError of "+call.Syscall)
	}
	if errors.As(err, &unknown) {
		is = append(is, "UnknownNetworkError")
	}
	slices.Sort(is)
	text := strings.Join(is, ", ")
	var e *net.OpError
	if errors.As(err, &e) {
		text += fmt.Sprintf("; op %s, net %s, timeout %v, temporary %v", e.Op, e.Net, e.Timeout(), e.Temporary())
		if !errors.Is(err, net.ErrClosed) {
			text += fmt.Sprintf(", source %v, addr %v", e.Source != nil, e.Addr != nil)
		}
	}
	return text
}

// pair connects two.
func (w *world) pair() (a, b net.Conn) {
	w.t.Helper()
	ln, err := w.listen(w.network, w.address())
	must(w.t, "listen", err)
	defer ln.Close()
	a, err = w.dial(w.network, ln.Addr().String())
	must(w.t, "dial", err)
	b, err = ln.Accept()
	must(w.t, "accept", err)
	return a, b
}

func (w *world) address() string {
	if w.network == "unix" {
		return filepath.Join(w.t.TempDir(), "s")
	}
	return "127.0.0.1:0"
}

// halves is what both networks' connections have.
type halves interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
}

// scenarios are what users of a net.Conn rely on.
var scenarios = map[string]func(w *world){
	"read and write nothing": func(w *world) {
		a, b := w.pair()
		n, err := a.Write(nil)
		w.say("write", n, err)
		n, err = a.Read(nil)
		w.say("read", n, err)
		b.Close()
		a.Close()
		n, err = a.Read(nil)
		w.say("read when closed", n, err)
	},
	"closed": func(w *world) {
		a, b := w.pair()
		defer b.Close()
		w.say("close", 0, a.Close())
		n, err := a.Read(make([]byte, 1))
		w.say("read", n, err)
		n, err = a.Write([]byte("x"))
		w.say("write", n, err)
		w.say("deadline", 0, a.SetDeadline(time.Now()))
		w.say("close write", 0, a.(halves).CloseWrite())
		w.say("close", 0, a.Close())
	},
	"closed by the peer": func(w *world) {
		a, b := w.pair()
		defer a.Close()
		b.Write([]byte("bye"))
		b.Close()
		all, err := io.ReadAll(a)
		w.say("read", string(all), err)
		n, err := a.Read(make([]byte, 1))
		w.say("read again", n, err)
	},
	"reset": func(w *world) {
		a, b := w.pair()
		defer a.Close()
		linger, ok := b.(interface{ SetLinger(int) error })
		if !ok || w.network == "unix" {
			b.Close()
			return
		}
		linger.SetLinger(0)
		b.Close()
		n, err := a.Read(make([]byte, 1))
		w.say("read", n, err)
		n, err = a.Write([]byte("x"))
		if f, ok := a.(interface{ Flush() error }); ok && err == nil {
			n, err = 0, f.Flush()
		}
		w.say("write", n, err)
	},
	"half closed": func(w *world) {
		a, b := w.pair()
		defer a.Close()
		defer b.Close()
		w.say("close write", 0, a.(halves).CloseWrite())
		w.say("close write again", 0, a.(halves).CloseWrite())
		n, err := a.Write([]byte("x"))
		w.say("write", n, err)
		n, err = b.Read(make([]byte, 1))
		w.say("the peer reads", n, err)
		b.Write([]byte("still"))
		buf := make([]byte, 10)
		n, err = a.Read(buf)
		w.say("read", string(buf[:n]), err)
	},
	"closed for reading": func(w *world) {
		a, b := w.pair()
		defer a.Close()
		defer b.Close()
		over := false
		w.go_(func() {
			n, err := a.Read(make([]byte, 1))
			w.say("read that waits", n, err)
			over = true
		})
		w.say("close read", 0, a.(halves).CloseRead())
		w.wait("it has read", func() bool { return over })
		n, err := a.Read(make([]byte, 1))
		w.say("read", n, err)
		n, err = a.Write([]byte("x"))
		w.say("write", n, err)
		w.say("close", 0, a.Close())
		w.say("close read when closed", 0, a.(halves).CloseRead())
	},
	"past deadlines": func(w *world) {
		a, b := w.pair()
		defer a.Close()
		defer b.Close()
		b.Write([]byte("there"))
		w.wait("it is there", func() bool { return true })
		a.SetReadDeadline(time.Now().Add(-time.Second))
		n, err := a.Read(make([]byte, 1))
		w.say("read", n, err)
		n, err = a.Write([]byte("x"))
		w.say("write", n, err)
		a.SetReadDeadline(time.Time{})
		buf := make([]byte, 5)
		n, err = io.ReadFull(a, buf)
		w.say("read without", string(buf[:n]), err)
		a.SetWriteDeadline(time.Unix(1, 0))
		n, err = a.Write([]byte("x"))
		w.say("write late", n, err)
		a.SetDeadline(time.Time{})
		n, err = a.Write([]byte("x"))
		w.say("write without", n, err)
	},
	"future deadline": func(w *world) {
		a, b := w.pair()
		defer a.Close()
		defer b.Close()
		a.SetReadDeadline(time.Now().Add(time.Millisecond))
		for range 2 {
			n, err := a.Read(make([]byte, 1))
			w.say("read", n, err)
		}
	},
	"deadline set while it waits": func(w *world) {
		a, b := w.pair()
		defer a.Close()
		defer b.Close()
		over := false
		w.go_(func() {
			n, err := a.Read(make([]byte, 1))
			w.say("read", n, err)
			over = true
		})
		a.SetReadDeadline(time.Now().Add(time.Hour))
		a.SetReadDeadline(time.Now())
		w.wait("it has read", func() bool { return over })
	},
	"closed while it waits": func(w *world) {
		a, b := w.pair()
		defer b.Close()
		over := false
		w.go_(func() {
			n, err := a.Read(make([]byte, 1))
			w.say("read", n, err)
			over = true
		})
		w.say("close", 0, a.Close())
		w.wait("it has read", func() bool { return over })
	},
	"listener closed": func(w *world) {
		ln, err := w.listen(w.network, w.address())
		must(w.t, "listen", err)
		w.say("close", 0, ln.Close())
		_, err = ln.Accept()
		w.say("accept", 0, err)
		w.say("close again", 0, ln.Close())
	},
	"accept deadline": func(w *world) {
		ln, err := w.listen(w.network, w.address())
		must(w.t, "listen", err)
		defer ln.Close()
		ln.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(time.Millisecond))
		_, err = ln.Accept()
		w.say("accept", 0, err)
	},
	"listener closed while it waits": func(w *world) {
		ln, err := w.listen(w.network, w.address())
		must(w.t, "listen", err)
		over := false
		w.go_(func() {
			_, err := ln.Accept()
			w.say("accept", 0, err)
			over = true
		})
		w.say("close", 0, ln.Close())
		w.wait("it has accepted", func() bool { return over })
	},
	"refused": func(w *world) {
		ln, err := w.listen(w.network, w.address())
		must(w.t, "listen", err)
		ln.Close()
		_, err = w.dial(w.network, ln.Addr().String())
		w.say("dial", 0, err)
	},
	"address in use": func(w *world) {
		ln, err := w.listen(w.network, w.address())
		must(w.t, "listen", err)
		defer ln.Close()
		_, err = w.listen(w.network, ln.Addr().String())
		w.say("listen", 0, err)
	},
	"bad addresses": func(w *world) {
		for _, network := range []string{"tcp", "tcp4", "tcp6", "nothing", ""} {
			for _, address := range []string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:nothing", "127.0.0.1:70000", "[::1", "::1:80",
				"[127.0.0.1]:1", "[::1]:1", "127.0.0.1:1"} {
				_, err := w.dial(network, address)
				if err == nil {
					w.t.Errorf("dialed %s %q", network, address)
				}
				w.said = append(w.said, fmt.Sprintf("dial %s %q: %s", network, address, describeError(err)))
			}
		}
		for _, network := range []string{"tcp", "nothing"} {
			for _, address := range []string{"", "127.0.0.1", "127.0.0.1:nothing", "127.0.0.1:70000", "[::1", "192.0.2.1:0"} {
				ln, err := w.listen(network, address)
				if err == nil {
					ln.Close()
				}
				w.said = append(w.said, fmt.Sprintf("listen %s %q: %s", network, address, describeError(err)))
			}
		}
	},
	"unix paths": func(w *world) {
		for _, path := range []string{"/no/such/directory/s", strings.Repeat("x", 200)} {
			_, err := w.listen("unix", path)
			w.say("listen", 0, err)
			_, err = w.dial("unix", path)
			w.say("dial", 0, err)
		}
	},
	"addresses": func(w *world) {
		ln, err := w.listen(w.network, w.address())
		must(w.t, "listen", err)
		a, err := w.dial(w.network, ln.Addr().String())
		must(w.t, "dial", err)
		b, err := ln.Accept()
		must(w.t, "accept", err)
		for what, addr := range map[string]net.Addr{"listener": ln.Addr(), "a": a.LocalAddr(), "a's peer": a.RemoteAddr(), "b": b.LocalAddr(), "b's peer": b.RemoteAddr()} {
			w.said = append(w.said, fmt.Sprintf("%s: %T %s, named %v", what, addr, addr.Network(), addr.String() != ""))
		}
		a.Close()
		b.Close()
		ln.Close()
		if w.network == "unix" {
			_, err = os.Stat(ln.Addr().String())
			w.say("the file", 0, err)
		}
	},
}

// TestAsNet has each scenario happen on package net and on a loop, and compares what came of it.
func TestAsNet(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for what, scenario := range scenarios {
			for _, network := range []string{"tcp", "unix"} {
				t.Run(what+"/"+network, func(t *testing.T) {
					want := onNet(t, network, scenario)
					got := onLoop(t, name, network, scenario)
					slices.Sort(want) // what happens at the same time is said in any order
					slices.Sort(got)
					for i := range max(len(want), len(got)) {
						switch {
						case i >= len(want):
							t.Errorf("more than package net's: %s", got[i])
						case i >= len(got):
							t.Errorf("less than package net's: %s", want[i])
						case got[i] != want[i]:
							t.Errorf("\n on a loop %s\nwith net is %s", got[i], want[i])
						}
					}
				})
			}
		}
	})
}

func onNet(t *testing.T, network string, scenario func(*world)) []string {
	w := &world{t: t, network: network, dial: net.Dial, listen: net.Listen}
	done := make(chan struct{})
	running := 0
	w.go_ = func(f func()) {
		running++
		go func() {
			f()
			done <- struct{}{}
		}()
		time.Sleep(5 * time.Millisecond) // it waits by then, or it is told of a later state of things: both come out the same
	}
	w.wait = func(what string, _ func() bool) {
		for ; running > 0; running-- {
			select {
			case <-done:
			case <-time.After(limit):
				t.Fatalf("it never came about that %s", what)
			}
		}
	}
	scenario(w)
	return w.said
}

func onLoop(t *testing.T, name, network string, scenario func(*world)) []string {
	w := &world{t: t, network: network}
	run(t, name, func(task Task) {
		w.dial = func(network, address string) (net.Conn, error) {
			c, err := Dial(task, network, address)
			if err != nil {
				return nil, err
			}
			return c, nil
		}
		w.listen = func(network, address string) (net.Listener, error) {
			ln, err := Listen(task, network, address)
			if err != nil {
				return nil, err
			}
			return ln, nil
		}
		w.go_ = func(f func()) {
			task.Go(func(Task) error { f(); return nil })
			task.Yield()
		}
		w.wait = func(what string, ok func() bool) { when(t, task, what, ok) }
		scenario(w)
	})
	return w.said
}
