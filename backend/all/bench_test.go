//go:build unix

package all

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// echo is the server's side of a connection: it sends back what comes.
type echo struct {
	b    backend.Backend
	recv backend.Op
	send backend.Op
	lent backend.Lease
	sent sent
	err  error
}

type sent struct{ *echo }

func (e *echo) Complete(c *backend.Completion) {
	if c.Err != nil || !c.More {
		e.err = fmt.Errorf("the receive ended: %w", c.Err)
		return
	}
	e.lent, e.send.Buf = c.Lease, c.Data
	e.b.Submit(&e.send)
}

func (s sent) Complete(c *backend.Completion) {
	s.b.Release(s.lent)
	if c.Err != nil {
		s.err = fmt.Errorf("the send failed: %w", c.Err)
	}
}

// BenchmarkTurn is a message of 64 bytes there and back on each of some connections: a multishot receive, a send. The
// other side's calls, a write and a read, are within the time.
func BenchmarkTurn(b *testing.B) {
	for _, d := range backend.Drivers() {
		name := d.Name
		if d.Rung != "" {
			name += ":" + d.Rung
		}
		for _, conns := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/%d", name, conns), func(b *testing.B) {
				be, err := d.Open(backend.Config{})
				if err != nil {
					b.Skip(err)
				}
				turn(b, be, conns)
			})
		}
	}
}

func turn(b *testing.B, be backend.Backend, conns int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := be.Start(); err != nil {
		b.Fatal(err)
	}
	defer be.Close()
	far := make([]int, conns)
	echoes := make([]echo, conns)
	for i := range far {
		p, err := pair()
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(p[0])
		defer unix.Close(p[1])
		far[i] = p[1]
		e := &echoes[i]
		*e = echo{b: be}
		e.sent.echo = e
		e.recv = backend.Op{Kind: backend.Recv, FD: p[0], Multishot: true, Sink: e}
		e.send = backend.Op{Kind: backend.Send, FD: p[0], Sink: e.sent}
		be.Submit(&e.recv)
	}
	dst := make([]backend.Completion, be.Caps().Batch)
	msg := make([]byte, 64)
	round := func() {
		for _, fd := range far {
			unix.Write(fd, msg)
		}
		for left := 2 * conns; left > 0; {
			n, err := be.Poll(dst, backend.Forever)
			if err != nil {
				b.Fatal(err)
			}
			for i := range dst[:n] {
				dst[i].Sink.Complete(&dst[i])
			}
			left -= n
		}
		for i, fd := range far {
			if n, err := unix.Read(fd, msg); n != len(msg) || err != nil || echoes[i].err != nil {
				b.Fatalf("echo of %d bytes, %v, %v", n, err, echoes[i].err)
			}
		}
	}
	round()
	before := be.Stats()
	rounds := 0
	b.ReportAllocs()
	for b.Loop() {
		round()
		rounds++
	}
	after := be.Stats()
	msgs := float64(rounds * conns)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/msgs, "ns/msg")
	b.ReportMetric(float64(after.Syscalls-before.Syscalls)/msgs, "syscalls/msg")
}

// pair is two TCP sockets that are connected, the first of them non-blocking.
func pair() (p [2]int, err error) {
	ln, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return p, err
	}
	defer unix.Close(ln)
	if err := unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return p, err
	}
	if err := unix.Listen(ln, 1); err != nil {
		return p, err
	}
	at, err := unix.Getsockname(ln)
	if err != nil {
		return p, err
	}
	if p[1], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
		return p, err
	}
	if err := unix.Connect(p[1], at); err != nil {
		return p, err
	}
	if p[0], _, err = unix.Accept(ln); err != nil {
		return p, err
	}
	for _, fd := range p {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return p, err
		}
	}
	return p, unix.SetNonblock(p[0], true)
}
