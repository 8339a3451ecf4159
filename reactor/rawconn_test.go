package reactor

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Accept ends at the listener's deadline, and no connection is lost by that.
func TestListenerDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			const d = 2 * time.Millisecond
			began := time.Now()
			must(t, "SetDeadline", ln.SetDeadline(began.Add(d)))
			_, err = ln.Accept()
			wantTimeout(t, "Accept", err, "accept")
			if took := time.Since(began); took < d {
				t.Errorf("Accept took %v", took)
			}
			a, err := Dial(task, "tcp", ln.Addr().String())
			must(t, "Dial", err)
			_, err = ln.Accept()
			wantTimeout(t, "Accept, again", err, "accept")

			must(t, "SetDeadline", ln.SetDeadline(time.Now().Add(time.Hour)))
			b, err := ln.AcceptConn()
			must(t, "Accept", err)
			wantAddr(t, "RemoteAddr", b.RemoteAddr(), a.LocalAddr())
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())

			moved := task.Go(func(task Task) error { // while it waits
				_, err := ln.Accept()
				wantTimeout(t, "Accept", err, "accept")
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			must(t, "SetDeadline", ln.SetDeadline(time.Now().Add(-1)))
			when(t, task, "Accept has ended", moved.Done)

			must(t, "SetDeadline", ln.SetDeadline(time.Time{}))
			waiting := task.Go(func(task Task) error {
				_, err := ln.Accept()
				wantOpError(t, "Accept", err, "accept", net.ErrClosed)
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			must(t, "Close", ln.Close())
			when(t, task, "Accept has ended", waiting.Done)
			wantOpError(t, "SetDeadline", ln.SetDeadline(time.Now()), "set", net.ErrClosed)
		})
	})
}

// A raw connection reads and writes the descriptor itself, and waits as the connection does.
func TestSyscallConn(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			raw, err := b.SyscallConn()
			must(t, "SyscallConn", err)
			must(t, "Control", raw.Control(func(fd uintptr) {
				if int(fd) != b.FD() {
					t.Errorf("the descriptor is %d, and not %d", fd, b.FD())
				}
			}))
			buf := make([]byte, 10)
			n := 0
			read := func(fd uintptr) bool {
				n, err = unix.Read(int(fd), buf)
				return err != unix.EAGAIN
			}
			task.Go(func(task Task) error {
				must(t, "Sleep", task.Sleep(time.Millisecond))
				rawA, err := a.SyscallConn()
				must(t, "SyscallConn", err)
				must(t, "Write", rawA.Write(func(fd uintptr) bool {
					_, err := unix.Write(int(fd), []byte("hello"))
					must(t, "write", err)
					return true
				}))
				return nil
			})
			must(t, "Read", raw.Read(read))
			if string(buf[:n]) != "hello" || err != nil {
				t.Errorf("read %q, %v", buf[:n], err)
			}
			must(t, "SetReadDeadline", b.SetReadDeadline(time.Now().Add(time.Millisecond)))
			wantTimeout(t, "Read", raw.Read(read), "raw-read")
			wantTimeout(t, "Read", raw.Read(read), "raw-read")
			must(t, "SetReadDeadline", b.SetReadDeadline(time.Time{}))
			waiting := task.Go(func(task Task) error {
				wantOpError(t, "Read", raw.Read(read), "raw-read", net.ErrClosed)
				return nil
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			must(t, "Close", b.Close())
			when(t, task, "Read has ended", waiting.Done)
			wantOpError(t, "Write", raw.Write(read), "raw-write", net.ErrClosed)
			wantOpError(t, "Control", raw.Control(func(uintptr) { t.Error("called") }), "raw-control", net.ErrClosed)
			_, err = b.SyscallConn()
			wantOpError(t, "SyscallConn", err, "raw", net.ErrClosed)
			must(t, "Close", a.Close())
		})
	})
}

// A listener's raw connection is for its options, as those who set them on a net.Listener do.
func TestListenerSyscallConn(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			raw, err := ln.SyscallConn()
			must(t, "SyscallConn", err)
			called := func(uintptr) bool { t.Error("it was called"); return true }
			wantErr(t, "Read", raw.Read(called), unix.EINVAL) // as package net's
			wantErr(t, "Write", raw.Write(called), unix.EINVAL)
			must(t, "Control", raw.Control(func(fd uintptr) {
				on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
				if on == 0 || err != nil {
					t.Errorf("the descriptor does not listen: %v", err)
				}
			}))
			must(t, "Close", ln.Close())
			wantOpError(t, "Control", raw.Control(func(uintptr) { t.Error("called") }), "raw-control", net.ErrClosed)
			_, err = ln.SyscallConn()
			wantOpError(t, "SyscallConn", err, "raw", net.ErrClosed)
			_, err = ln.File()
			wantOpError(t, "File", err, "file", net.ErrClosed)
		})
	})
}

// A file is a socket of its own: closing it, or the connection, leaves the other as it is. Neither changes the other's
// mode.
func TestFile(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			a, err := Dial(task, "tcp", ln.Addr().String())
			must(t, "Dial", err)
			b, err := ln.AcceptConn()
			must(t, "Accept", err)
			for _, of := range []interface {
				File() (*os.File, error)
				syscall.Conn
				FD() int
			}{a, ln} {
				f, err := of.File()
				must(t, "File", err)
				for _, fd := range []int{of.FD(), int(f.Fd())} {
					flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
					if flags&unix.O_NONBLOCK == 0 || err != nil {
						t.Errorf("descriptor %d blocks: %v", fd, err)
					}
				}
				if int(f.Fd()) == of.FD() {
					t.Error("it is the same descriptor")
				}
				must(t, "Close", f.Close())
			}
			f, err := a.File()
			must(t, "File", err)
			must(t, "Close", a.Close())
			_, err = f.WriteString("still here")
			must(t, "WriteString", err)
			must(t, "Close", f.Close())
			readAll(t, b, []byte("still here"))
			_, err = a.File()
			wantOpError(t, "File", err, "file", net.ErrClosed)
			must(t, "Close", ln.Close())
		})
	})
}

// Each option is set on the socket.
func TestSetOptions(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			get := func(level, option int) int {
				n, err := unix.GetsockoptInt(a.FD(), level, option)
				must(t, "getsockopt", err)
				return n
			}
			for _, on := range []bool{false, true} {
				must(t, "SetKeepAlive", a.SetKeepAlive(on))
				if got := get(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0; got != on {
					t.Errorf("SO_KEEPALIVE is %v after SetKeepAlive(%v)", got, on)
				}
			}
			must(t, "SetReadBuffer", a.SetReadBuffer(20_000))
			must(t, "SetWriteBuffer", a.SetWriteBuffer(30_000))
			if r, w := get(unix.SOL_SOCKET, unix.SO_RCVBUF), get(unix.SOL_SOCKET, unix.SO_SNDBUF); r < 20_000 || r > 50_000 || w < 30_000 || w > 70_000 {
				t.Errorf("the buffers have %d and %d bytes", r, w)
			}
			must(t, "SetKeepAlivePeriod", a.SetKeepAlivePeriod(time.Minute))
			wantOpError(t, "SetLinger", a.SetLinger(1), "set", errors.ErrUnsupported)
			must(t, "SetLinger", a.SetLinger(-1))
			must(t, "SetLinger", a.SetLinger(0))
			must(t, "Close", a.Close()) // by a reset
			_, err := b.Next()
			wantOpError(t, "Next", err, "read", unix.ECONNRESET)
			must(t, "Close", b.Close())
			wantOpError(t, "SetLinger", a.SetLinger(0), "set", net.ErrClosed)
		})
	})
}
