package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tcpMethods are what libraries look for in a connection of package net's.
type tcpMethods interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	File() (*os.File, error)
	SetKeepAlive(bool) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
	SetKeepAlivePeriod(time.Duration) error
	SetLinger(int) error
	SetNoDelay(bool) error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

var (
	_ tcpMethods = (*net.TCPConn)(nil)
	_ tcpMethods = (*SharedConn)(nil)
)

// A shared connection's options are the socket's, also where package net has other defaults.
func TestSharedOptions(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := (&ListenConfig{Delay: true, KeepAlive: -1}).Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			sln := ln.Shared()
			off(t, task, func() {
				peer, err := net.Dial("tcp", sln.Addr().String())
				must(t, "Dial", err)
				defer peer.Close()
				c, err := sln.Accept()
				must(t, "Accept", err)
				s := c.(*SharedConn)
				raw, err := s.SyscallConn()
				must(t, "SyscallConn", err)
				option := func(level, option, want int) {
					t.Helper()
					must(t, "Control", raw.Control(func(fd uintptr) {
						if got, err := unix.GetsockoptInt(int(fd), level, option); got != want || err != nil {
							t.Errorf("option %d is %d, %v, want %d", option, got, err, want)
						}
					}))
				}
				option(unix.IPPROTO_TCP, unix.TCP_NODELAY, 0)
				option(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
				must(t, "SetNoDelay", s.SetNoDelay(true))
				must(t, "SetKeepAlive", s.SetKeepAlive(true))
				must(t, "SetKeepAlivePeriod", s.SetKeepAlivePeriod(77*time.Second))
				must(t, "SetKeepAliveConfig", s.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}))
				must(t, "SetReadBuffer", s.SetReadBuffer(32<<10))
				must(t, "SetWriteBuffer", s.SetWriteBuffer(32<<10))
				option(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
				option(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
				must(t, "SetLinger", s.SetLinger(0))
				must(t, "Close", s.Close())
				_, err = peer.Read(make([]byte, 1))
				wantErr(t, "the peer's Read", err, unix.ECONNRESET)
				for what, call := range map[string]func() error{
					"SetNoDelay": func() error { return s.SetNoDelay(true) },
					"CloseRead":  s.CloseRead, "CloseWrite": s.CloseWrite,
					"File":        func() error { _, err := s.File(); return err },
					"Control":     func() error { return raw.Control(func(uintptr) {}) },
					"raw Read":    func() error { return raw.Read(func(uintptr) bool { return true }) },
					"SetDeadline": func() error { return s.SetDeadline(time.Now()) },
				} {
					if err := call(); !errors.As(err, new(*net.OpError)) || !errors.Is(err, net.ErrClosed) {
						t.Errorf("%s after Close: %v", what, err)
					}
				}
				must(t, "Close", sln.Close())
			})
		})
	})
}

// CloseRead ends reading, and nothing else.
func TestSharedCloseRead(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			s := c.Shared()
			off(t, task, func() {
				must(t, "CloseRead", s.CloseRead())
				if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("Read after CloseRead: %d, %v", n, err)
				}
				_, err := s.Write([]byte("still"))
				must(t, "Write", err)
				must(t, "Close", s.Close())
				got, _ := io.ReadAll(peer)
				same(t, "what came", got, []byte("still"))
			})
		})
	})
}

// Files are sent from their position on, whole or in part, and what stands behind them comes after.
func TestSharedSendsFiles(t *testing.T) {
	content := pattern(3 << 20)
	path := filepath.Join(t.TempDir(), "file")
	must(t, "WriteFile", os.WriteFile(path, content, 0o600))
	const at = 1000
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for _, size := range []int64{0, 100, 1 << 20, 1<<20 + 1, 5 << 20, -1} {
				c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
				s := c.Shared()
				f, err := os.Open(path)
				must(t, "Open", err)
				_, err = f.Seek(at, io.SeekStart)
				must(t, "Seek", err)
				var src io.Reader = f
				want := content[at:]
				if size >= 0 {
					src = io.LimitReader(f, size)
					want = want[:min(size, int64(len(want)))]
				}
				off(t, task, func() {
					go func() {
						defer s.Close()
						s.Write([]byte("head"))
						if n, err := io.Copy(s, src); n != int64(len(want)) || err != nil {
							t.Errorf("of %d bytes %d were sent: %v", len(want), n, err)
						}
						s.Write([]byte("tail"))
					}()
					got, err := io.ReadAll(peer)
					must(t, "ReadAll", err)
					same(t, "what came", got, bytes.Join([][]byte{[]byte("head"), want, []byte("tail")}, nil))
				})
				if pos, err := f.Seek(0, io.SeekCurrent); pos != at+int64(len(want)) || err != nil {
					t.Errorf("the position is %d, %v", pos, err)
				}
				if l, ok := src.(*io.LimitedReader); ok && l.N != size-int64(len(want)) {
					t.Errorf("%d bytes of the limit are left", l.N)
				}
				f.Close()
			}
		})
	})
}

// A file that is being sent to a peer that does not read ends at the write deadline, and at Close.
func TestSharedSendsFileUntil(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, "WriteFile", os.WriteFile(path, nil, 0o600))
	must(t, "Truncate", os.Truncate(path, 64<<20))
	for what, end := range map[string]struct {
		by   func(s *SharedConn)
		want error
	}{
		"the deadline": {func(s *SharedConn) { s.SetWriteDeadline(time.Now().Add(5 * time.Millisecond)) }, ErrDeadline},
		"Close":        {func(s *SharedConn) { s.Close() }, net.ErrClosed},
	} {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					c, peer := peered(t, task, full, "127.0.0.1:0")
					s := c.Shared()
					f, err := os.Open(path)
					must(t, "Open", err)
					defer f.Close()
					off(t, task, func() {
						sent := make(chan error)
						var n int64
						go func() {
							var err error
							n, err = io.Copy(s, f)
							sent <- err
						}()
						io.ReadFull(peer, make([]byte, 1000)) // it is under way
						end.by(s)
						err := <-sent
						if !errors.As(err, new(*net.OpError)) || !errors.Is(err, end.want) {
							t.Errorf("Copy: %v", err)
						}
						if pos, _ := f.Seek(0, io.SeekCurrent); pos != n || n == 0 {
							t.Errorf("the position is %d when %d bytes were sent", pos, n)
						}
						s.Close()
					})
				})
			})
		})
	}
}

// File gives a duplicate, and a raw Read waits until the deadline.
func TestSharedFileAndRaw(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			s := c.Shared()
			off(t, task, func() {
				f, err := s.File()
				must(t, "File", err)
				raw, err := s.SyscallConn()
				must(t, "SyscallConn", err)
				must(t, "SetDeadline", s.SetDeadline(time.Now().Add(time.Millisecond)))
				err = raw.Read(func(uintptr) bool { return false })
				wantTimeout(t, "raw Read", err, "raw-read")
				must(t, "Close", s.Close())
				_, err = f.Write([]byte("by the file"))
				must(t, "the file's Write", err)
				f.Close()
				got, _ := io.ReadAll(peer)
				same(t, "what came", got, []byte("by the file"))
			})
		})
	})
}

// A shared listener's socket can be reached, passed on, and left in the file system.
func TestSharedListenerAsNet(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			path := filepath.Join(t.TempDir(), "socket")
			for _, unlinks := range []bool{false, true} {
				ln, err := Listen(task, "unix", path)
				must(t, "Listen", err)
				s := ln.Shared()
				off(t, task, func() {
					raw, err := s.SyscallConn()
					must(t, "SyscallConn", err)
					must(t, "Control", raw.Control(func(fd uintptr) {
						if on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN); on == 0 || err != nil {
							t.Errorf("SO_ACCEPTCONN: %d, %v", on, err)
						}
					}))
					wantErr(t, "raw Read", raw.Read(func(uintptr) bool { return true }), unix.EINVAL)
					f, err := s.File()
					must(t, "File", err)
					f.Close()
					s.SetUnlinkOnClose(unlinks)
					must(t, "Close", s.Close())
					if _, err := os.Stat(path); os.IsNotExist(err) != unlinks {
						t.Errorf("after Close: %v", err)
					}
					os.Remove(path)
					wantOpError(t, "Control", raw.Control(func(uintptr) {}), "raw-control", net.ErrClosed)
					_, err = s.File()
					wantOpError(t, "File", err, "file", net.ErrClosed)
					_, err = s.SyscallConn()
					wantOpError(t, "SyscallConn", err, "raw", net.ErrClosed)
				})
			}
		})
	})
}

// What the loop has not sent yet goes before what is written afterwards, and before CloseWrite's end of the stream.
func TestSharedOutputInOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			written := fill(t, task, c) + 10
			_, err := c.Write([]byte("the loop's"))
			must(t, "Write", err)
			s := c.Shared()
			must(t, "CloseWrite", s.CloseWrite())
			_, err = s.Write([]byte("x"))
			wantOpError(t, "Write after CloseWrite", err, "write", unix.EPIPE)
			off(t, task, func() {
				got, err := io.ReadAll(peer)
				must(t, "ReadAll", err)
				if len(got) != int(written) || !bytes.HasSuffix(got, []byte("the loop's")) {
					t.Errorf("%d bytes came of %d", len(got), written)
				}
				_, err = peer.Write([]byte("answer"))
				must(t, "the peer's Write", err)
				buf := make([]byte, 6)
				_, err = io.ReadFull(s, buf)
				must(t, "ReadFull", err)
				must(t, "Close", s.Close())
			})
		})
	})
}
