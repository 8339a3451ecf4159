package reactor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// socketPath is the path of a socket that is to be, short enough for one.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "eyewall")
	must(t, "MkdirTemp", err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// socketNames are names that Unix sockets may have here.
func socketNames(t testing.TB) []string {
	t.Helper()
	path := socketPath(t)
	if runtime.GOOS != "linux" {
		return []string{path}
	}
	return []string{path, "@" + path}
}

// A connection over a Unix socket is like any other, and its addresses are package net's.
func TestUnix(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, address := range socketNames(t) {
				ln, err := Listen(task, "unix", address)
				must(t, "Listen", err)
				wantAddr(t, "Addr", ln.Addr(), &net.UnixAddr{Name: address, Net: "unix"})
				a, err := Dial(task, "unix", address)
				must(t, "Dial", err)
				b, err := ln.AcceptConn()
				must(t, "Accept", err)
				peer, err := net.Dial("unix", address) // for what its addresses are
				must(t, "Dial", err)
				wantAddr(t, "LocalAddr of who dialed", a.LocalAddr(), peer.LocalAddr())
				wantAddr(t, "RemoteAddr of who dialed", a.RemoteAddr(), peer.RemoteAddr())
				wantAddr(t, "LocalAddr of who accepted", b.LocalAddr(), peer.RemoteAddr())
				wantAddr(t, "RemoteAddr of who accepted", b.RemoteAddr(), peer.LocalAddr())
				peer.Close()

				sent := pattern(300_000)
				task.Go(func(Task) error {
					_, err := a.Write(sent)
					must(t, "Write", err)
					must(t, "CloseWrite", a.CloseWrite())
					return nil
				})
				readAll(t, b, sent)
				if _, err := a.Next(); err != io.EOF {
					t.Errorf("Next: %v", err)
				}
				must(t, "SetReadDeadline", a.SetDeadline(time.Now().Add(-1)))
				_, err = a.Read(make([]byte, 1))
				wantTimeout(t, "Read", err, "read")
				if want := "unix"; !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
					t.Errorf("%q does not tell of %s and %s", err, want, address)
				}
				must(t, "Close", a.Close())
				must(t, "Close", ln.Close())
			}
		})
	})
}

// The file of a socket is removed when its listener is closed, in whatever way, unless that is called off.
func TestUnixFile(t *testing.T) {
	exists := func(path string) bool {
		_, err := os.Lstat(path)
		return !errors.Is(err, fs.ErrNotExist)
	}
	eachBackend(t, func(t *testing.T, name string) {
		path, left := socketPath(t), socketPath(t)
		run(t, name, func(task Task) {
			for range 2 {
				ln, err := Listen(task, "unix", path)
				must(t, "Listen", err)
				if !exists(path) {
					t.Error("there is no file")
				}
				must(t, "Close", ln.Close())
				if exists(path) {
					t.Error("the file is still there")
				}
			}
			ln, err := Listen(task, "unix", left)
			must(t, "Listen", err)
			ln.SetUnlinkOnClose(false)
			must(t, "Close", ln.Close())
			if !exists(left) {
				t.Error("the file is gone")
			}
			_, err = Listen(task, "unix", path) // and leaves it to the loop's end
			must(t, "Listen", err)
		})
		if exists(path) {
			t.Error("the loop's end has left the file")
		}
		g, err := NewGroup(WithBackend(name))
		must(t, "NewGroup", err)
		_, err = g.Serve(t.Context(), "unix", path, func(Conn) error { return nil })
		must(t, "Serve", err)
		must(t, "Close", g.Close())
		if exists(path) {
			t.Error("the end of a group that did not run has left the file")
		}
	})
}

// Errors are those of package net, but for the name of what had none.
func TestUnixErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			path := socketPath(t)
			ln, err := Listen(task, "unix", path)
			must(t, "Listen", err)
			for _, address := range []string{path, path + "/below"} {
				_, err := Listen(task, "unix", address)
				_, want := net.Listen("unix", address)
				if fmt.Sprint(err) != fmt.Sprint(want) {
					t.Errorf("Listen(%q): %v, and net's is %v", address, err, want)
				}
			}
			must(t, "Close", ln.Close())
			plain := path + ".plain"
			must(t, "WriteFile", os.WriteFile(plain, nil, 0o600))
			for _, address := range []string{path, plain, "", path + "/below"} {
				_, err := Dial(task, "unix", address)
				_, want := net.Dial("unix", address)
				if fmt.Sprint(err) != fmt.Sprint(want) {
					t.Errorf("Dial(%q): %v, and net's is %v", address, err, want)
				}
			}
			_, err = Dial(task, "unix", plain)
			wantOpError(t, "Dial", err, "dial", unix.ECONNREFUSED)
			var errno *os.SyscallError
			if !errors.As(err, &errno) || errno.Syscall != "connect" {
				t.Errorf("Dial: %#v has no *os.SyscallError of connect", err)
			}
		})
	})
}

// A server on a Unix socket has one loop accept for all.
func TestUnixServer(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, form := range []struct {
			name  string
			serve serveFunc
		}{{"Serve", Serve}, {"Handle", Handle}} {
			t.Run(form.name, func(t *testing.T) {
				for _, address := range socketNames(t) {
					s := startOn(t, name, "unix", address, form.serve, echoOnce, WithLoops(2))
					for range 20 {
						c, err := net.Dial("unix", address)
						must(t, "Dial", err)
						c.SetDeadline(time.Now().Add(limit))
						if got := ask(t, c, "hello"); got != "hello" {
							t.Errorf("the answer is %q", got)
						}
						c.Close()
					}
					must(t, "Serve", s.stop(t))
				}
			})
		}
	})
}

// A dialer's own name is what its peer sees.
func TestUnixLocalAddr(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			path, own := socketPath(t), socketPath(t)
			ln, err := Listen(task, "unix", path)
			must(t, "Listen", err)
			d := Dialer{LocalAddr: &net.UnixAddr{Name: own, Net: "unix"}}
			a, err := d.Dial(task, "unix", path)
			must(t, "Dial", err)
			b, err := ln.AcceptConn()
			must(t, "Accept", err)
			wantAddr(t, "RemoteAddr", b.RemoteAddr(), d.LocalAddr)
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
			_, err = (&Dialer{LocalAddr: new(net.TCPAddr)}).Dial(task, "unix", path)
			if err == nil || !strings.Contains(err.Error(), "mismatched local address type") {
				t.Errorf("Dial from a TCP address: %v", err)
			}
			must(t, "Close", ln.Close())
		})
	})
}

// Where its queue is full, a Unix socket is waited for, and that can be cut short.
func TestUnixQueueFull(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			path := socketPath(t)
			ln, err := (&ListenConfig{Backlog: 1}).Listen(task, "unix", path)
			must(t, "Listen", err)
			d := Dialer{Timeout: 10 * time.Millisecond}
			var list []Conn
			for {
				c, err := d.Dial(task, "unix", path)
				if err != nil {
					wantOpError(t, "Dial", err, "dial", ErrDeadline)
					break
				}
				if list = append(list, c); len(list) > 1000 {
					t.Fatal("the queue is never full")
				}
			}
			waiting := task.Go(func(task Task) error {
				c, err := Dial(task, "unix", path)
				must(t, "Dial", err)
				return c.Close()
			})
			for range len(list) + 1 {
				c, err := ln.AcceptConn()
				must(t, "Accept", err)
				must(t, "Close", c.Close())
			}
			when(t, task, "it is connected", waiting.Done)
			for _, c := range list {
				c.Close()
			}
			must(t, "Close", ln.Close())
		})
	})
}
