//go:build linux

package uring

import (
	"fmt"
	"testing"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// datagrams is a socket with so many messages of one byte.
func datagrams(t testing.TB, n int) (fd int) {
	t.Helper()
	fd, peer := socketsOf(t, unix.SOCK_DGRAM)
	for range n {
		if _, err := unix.Write(peer, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

// stream is sockets whose receives always have something to report: each message is followed by another one.
type stream struct {
	*waiters
	way   func(fd int) backend.Op
	dst   []backend.Completion
	polls int
}

// newStream has n such sockets, and Polls with room for batch, which is too little.
func newStream(t testing.TB, p *proactor, n, batch int, way string) *stream {
	s := &stream{waiters: newWaiters(t, p, n), way: recvWays[way], dst: make([]backend.Completion, batch)}
	s.submit(s.way)
	for range n {
		poll(t, p, s.dst, 0)
	}
	s.send()
	return s
}

// poll polls and returns the completions of others.
func (s *stream) poll(t testing.TB) (others []backend.Completion) {
	t.Helper()
	if s.polls++; s.polls > 100_000 {
		t.Fatal("it has never come")
	}
	for _, c := range poll(t, s.p, s.dst, backend.Forever) {
		i, ok := s.which[c.Token]
		if !ok {
			others = append(others, c)
			continue
		}
		unix.Write(s.peers[i], []byte("x"))
		s.p.Release(c.Lease)
		if !c.More {
			delete(s.which, c.Token)
			op := s.way(s.fds[i])
			s.which[s.p.Submit(&op)] = i
		}
	}
	return others
}

// Operations that the backend carries out itself, and those that have waited for a buffer, have their turn also if the
// completions of others fill dst each time.
func TestTurnUnderLoad(t *testing.T) {
	const n = 200
	for _, g := range variants(t) {
		for _, kind := range []backend.Kind{backend.Splice, backend.Recv} {
			for _, batch := range []int{1, 8} {
				t.Run(fmt.Sprintf("%s/%s/%d", g.name, kind, batch), func(t *testing.T) {
					p := start(t, g, backend.Config{BufferSize: 16, BufferCount: 1})
					s := newStream(t, p, n, batch, "buffer")
					fd, peer := sockets(t)
					unix.Write(peer, ping)
					op := backend.Op{Kind: kind, FD: fd}
					token := p.Submit(&op)
					if kind == backend.Recv {
						lent := s.poll(t)
						for len(lent) == 0 {
							lent = s.poll(t)
						}
						token = p.Submit(&op)
						for starved := p.Stats().Starved; p.Stats().Starved == starved; {
							s.poll(t)
						}
						p.Release(lent[0].Lease)
					}
					for polls := 1; ; polls++ {
						if got := s.poll(t); len(got) > 0 {
							if got[0].Token != token || got[0].N <= 0 {
								t.Fatalf("%+v", got[0])
							}
							return
						}
						if polls > 10*n {
							t.Fatalf("it has had no turn in %d Polls", polls)
						}
					}
				})
			}
		}
	}
}

// A receive that is canceled in line reports its message, if there are as many messages as receives, also on a
// backend so busy that dst is always full.
func TestResultBeatsCancelInLineUnderLoad(t *testing.T) {
	const n = 7
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{})
			s := newStream(t, p, 200, 2, "multishot")
			op := backend.Op{Kind: backend.Recv, FD: datagrams(t, n), Buf: make([]byte, 1)}
			var last backend.Token
			for range n {
				last = p.Submit(&op)
			}
			p.Cancel(last)
			for left := n; left > 0; {
				for _, c := range s.poll(t) {
					if c.Err != nil {
						t.Errorf("a receive, the last: %v, ends with %v", c.Token == last, c.Err)
					}
					left--
				}
			}
		})
	}
}

// On such a backend, too, one that has no result ends soon, whatever else is canceled in line.
func TestCancelInLineUnderLoad(t *testing.T) {
	const n = 200
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{})
			s := newStream(t, p, n, 8, "multishot")
			fd, _ := sockets(t)
			op := backend.Op{Kind: backend.Recv, FD: fd}
			p.Submit(&op)
			canceled := p.Submit(&op)
			p.Cancel(canceled)
			for polls := 1; ; polls++ {
				for _, c := range s.poll(t) {
					if c.Err != backend.ErrCanceled {
						t.Fatalf("%+v", c)
					}
					if c.Token == canceled {
						return
					}
				}
				if polls > n {
					t.Fatalf("not canceled after %d Polls", polls)
				}
				p.Cancel(p.Submit(&op))
			}
		})
	}
}
