//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// stormTests are an echo server under clients that run at their own speed, on other threads: what no script can time.
var stormTests = []test{
	{name: "echo", body: storm, everyNet: true, options: options{cfg: backend.Config{Entries: 32, BufferSize: 2048, BufferCount: 32}}},
	{name: "echo_few_buffers", body: storm, everyNet: true, options: options{cfg: backend.Config{Entries: 8, BufferSize: 1024, BufferCount: 2}, batch: 3}},
}

// How a client of the storm behaves, which it tells the server with its first byte.
const (
	stormEcho  = iota // sends all, closes its half, reads all back
	stormQuits        // closes or resets somewhere in the middle
	stormKept         // as stormEcho, but the server closes somewhere in the middle
	stormModes
)

// stormServer echoes what it receives, sending from the lent buffers, several sends in flight at once. It cancels
// receives and accepts for no reason, and when the time of one is over.
type stormServer struct {
	r        *rig
	rng      *rand.Rand
	ln       int
	accept   backend.Token // 0 when not armed
	conns    map[*stormConn]bool
	accepted int
	ops      map[backend.Token]stormOp
}

type stormConn struct {
	fd      int
	mode    int // -1 before the first byte
	recv    backend.Token
	due     time.Duration // when the time of recv is over
	sends   int
	ended   bool // no more to receive
	closing bool
}

type stormOp struct {
	c     *stormConn
	kind  backend.Kind
	lease backend.Lease // of a send
}

func storm(r *rig) {
	clients, each := 8, 10
	if testenv.Race {
		each = 4
	}
	ln, addr := r.listen(64)
	s := &stormServer{
		r: r, rng: rand.New(rand.NewPCG(8, 9)), ln: ln,
		conns: map[*stormConn]bool{}, ops: map[backend.Token]stormOp{},
	}
	var wg sync.WaitGroup
	var left atomic.Int32
	left.Store(int32(clients))
	for i := range clients {
		rng := rand.New(rand.NewPCG(uint64(i), 10))
		wg.Go(func() {
			defer left.Add(-1)
			for k := 0; k < each && !r.Failed(); k++ {
				if err := stormClient(rng, r.net, addr); err != nil {
					r.Errorf("client: %v", err)
				}
			}
		})
	}
	defer wg.Wait() // they give up at their deadlines, if need be
	began := time.Now()
	for left.Load() > 0 || len(s.conns) > 0 || s.accepted < clients*each {
		if time.Since(began) > limit {
			r.Errorf("after %v, %d clients are left, %d connections, and %d accepted", limit, left.Load(), len(s.conns), s.accepted)
			return
		}
		s.turn()
	}
	if s.accept != 0 {
		r.b.Cancel(s.accept)
	}
	for len(s.ops) > 0 {
		s.poll(r.in(limit))
	}
}

func (s *stormServer) submit(c *stormConn, lease backend.Lease, op backend.Op) backend.Token {
	t := s.r.b.Submit(&op)
	s.ops[t] = stormOp{c, op.Kind, lease}
	return t
}

func (s *stormServer) turn() {
	r := s.r
	if s.accept == 0 {
		s.accept = s.submit(nil, 0, backend.Op{Kind: backend.Accept, FD: s.ln, Multishot: s.rng.IntN(4) > 0})
	} else if s.rng.IntN(50) == 0 {
		r.b.Cancel(s.accept)
	}
	for c := range s.conns {
		switch {
		case c.closing:
		case c.ended && c.sends == 0, c.mode == stormKept && s.rng.IntN(100) == 0:
			c.closing = true
			s.submit(c, 0, backend.Op{Kind: backend.Close, FD: c.fd})
		case c.recv == 0 && !c.ended && c.sends < 4:
			op := backend.Op{Kind: backend.Recv, FD: c.fd, Multishot: s.rng.IntN(3) > 0}
			c.due = backend.Forever
			if s.rng.IntN(4) == 0 {
				c.due = r.in(time.Duration(s.rng.IntN(2000)) * time.Microsecond)
			}
			c.recv = s.submit(c, 0, op)
		case c.recv != 0 && (c.sends >= 4 || r.b.Now() >= c.due || s.rng.IntN(20) == 0):
			r.b.Cancel(c.recv)
		}
	}
	s.poll(r.in(2 * time.Millisecond))
}

func (s *stormServer) poll(until time.Duration) {
	r := s.r
	n, err := r.b.Poll(r.dst, until)
	r.ok("Poll", err)
	for _, got := range r.dst[:n] {
		op, ok := s.ops[got.Token]
		if !ok {
			r.Fatalf("a completion of no operation: %s", show(&got))
		}
		if !got.More {
			delete(s.ops, got.Token)
		}
		s.complete(op, &got)
	}
}

func (s *stormServer) complete(op stormOp, got *backend.Completion) {
	r, c := s.r, op.c
	unexpected := func() { r.Errorf("storm: %v has %s", op.kind, show(got)) }
	switch op.kind {
	case backend.Accept:
		if got.Err == nil {
			r.adopt(got.N)
			s.accepted++
			s.conns[&stormConn{fd: got.N, mode: -1}] = true
		} else if got.Err != backend.ErrCanceled {
			unexpected()
		}
		if !got.More {
			s.accept = 0
		}
	case backend.Recv:
		if !got.More {
			c.recv = 0
		}
		switch got.Err {
		case nil:
			if c.mode < 0 {
				c.mode = int(got.Data[0])
			}
			if c.closing {
				r.b.Release(got.Lease)
				return
			}
			c.sends++
			s.submit(c, got.Lease, backend.Op{Kind: backend.Send, FD: c.fd, Buf: got.Data})
		case backend.ErrCanceled:
		case io.EOF, unix.ECONNRESET:
			c.ended = true
		case backend.ErrClosed:
			if !c.closing {
				unexpected()
			}
		default:
			unexpected()
		}
	case backend.Send:
		r.b.Release(op.lease)
		c.sends--
		switch got.Err {
		case nil:
		case unix.EPIPE, unix.ECONNRESET:
			c.ended = true
		case backend.ErrClosed:
			if !c.closing {
				unexpected()
			}
		default:
			unexpected()
		}
	case backend.Close:
		if got.Err != nil || c.sends > 0 || c.recv != 0 {
			unexpected()
		}
		r.disown(c.fd)
		delete(s.conns, c)
	}
}

// stormClient is one connection of a client.
func stormClient(rng *rand.Rand, n network, addr address) error {
	mode := rng.IntN(stormModes)
	size := 1 + rng.IntN(100_000)
	if testenv.Race {
		size = 1 + size/5
	}
	cut := rng.IntN(size)
	hard := rng.IntN(2) == 0
	var conn net.Conn
	var err error
	switch sa := addr.sa.(type) {
	case *unix.SockaddrUnix:
		conn, err = net.Dial("unix", sa.Name)
	case *unix.SockaddrInet4:
		conn, err = net.DialTCP("tcp", nil, &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port})
	case *unix.SockaddrInet6:
		conn, err = net.DialTCP("tcp", nil, &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port})
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(limit))
	data := pattern(cut, size)
	data[0] = byte(mode)
	lengths := make([]int, 0, 64) // made up here: rng is for one goroutine
	for left := size; left > 0; {
		k := min(left, 1+rng.IntN(10_000))
		lengths, left = append(lengths, k), left-k
	}
	wrote := make(chan error, 1)
	go func() {
		var err error
		for p := data; len(p) > 0 && err == nil; lengths = lengths[1:] {
			_, err = conn.Write(p[:lengths[0]])
			p = p[lengths[0]:]
		}
		if err == nil {
			err = conn.(interface{ CloseWrite() error }).CloseWrite()
		}
		wrote <- err
	}()
	want := size
	if mode == stormQuits {
		want = cut
	}
	got := make([]byte, want)
	k, err := io.ReadFull(conn, got)
	for i := range got[:k] {
		if got[i] != data[i] {
			return errors.New("the echo differs from what was sent")
		}
	}
	switch mode {
	case stormEcho:
		if err == nil {
			_, err = conn.Read(got[:1])
		}
		if err == io.EOF {
			err = <-wrote
		}
		return err
	case stormQuits:
		if tcp, ok := conn.(*net.TCPConn); ok && hard {
			tcp.SetLinger(0)
		}
	}
	conn.Close()
	<-wrote
	return nil
}
