//go:build linux

package uring

import (
	"fmt"
	"testing"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// waiters is many sockets, each with a receive, and what became of those.
type waiters struct {
	p     *proactor
	fds   []int
	peers []int
	which map[backend.Token]int // the socket of each operation in flight
	data  []int                 // bytes by socket
	ended []error               // by socket
	left  int                   // operations in flight
}

func newWaiters(t testing.TB, p *proactor, n int) *waiters {
	w := &waiters{p: p, which: map[backend.Token]int{}, data: make([]int, n), ended: make([]error, n)}
	for range n {
		fd, peer := sockets(t)
		w.fds, w.peers = append(w.fds, fd), append(w.peers, peer)
	}
	return w
}

// recvWays are the ways to receive.
var recvWays = map[string]func(fd int) backend.Op{
	"buffer":    func(fd int) backend.Op { return backend.Op{Kind: backend.Recv, FD: fd, Buf: make([]byte, 16)} },
	"lent":      func(fd int) backend.Op { return backend.Op{Kind: backend.Recv, FD: fd} },
	"multishot": func(fd int) backend.Op { return backend.Op{Kind: backend.Recv, FD: fd, Multishot: true} },
}

func (w *waiters) submit(op func(fd int) backend.Op) {
	for i, fd := range w.fds {
		o := op(fd)
		w.which[w.p.Submit(&o)] = i
		w.left++
	}
}

func (w *waiters) send() {
	for _, peer := range w.peers {
		unix.Write(peer, []byte("x"))
	}
}

func (w *waiters) cancel() {
	for token := range w.which {
		w.p.Cancel(token)
	}
}

// note takes completions and releases what they lend.
func (w *waiters) note(done []backend.Completion) {
	for _, c := range done {
		i := w.which[c.Token]
		w.data[i] += c.N
		w.p.Release(c.Lease)
		if !c.More {
			w.ended[i] = c.Err
			delete(w.which, c.Token)
			w.left--
		}
	}
}

// missing is the number of sockets whose data has not been reported.
func (w *waiters) missing() (n int) {
	for _, k := range w.data {
		if k == 0 {
			n++
		}
	}
	return n
}

// receivesAtOnce is how many receives a test has in flight. The race detector looks for other faults.
func receivesAtOnce() int {
	if testenv.Race {
		return 400
	}
	return 2000
}

// Data that was there before the cancel is reported, of however many receives, and be the receives with the kernel or not.
func TestResultBeatsCancel(t *testing.T) {
	n := receivesAtOnce()
	for _, g := range variants(t) {
		for way, op := range recvWays {
			for _, batch := range []int{64, 4096} {
				t.Run(fmt.Sprintf("%s/%s/%d", g.name, way, batch), func(t *testing.T) {
					p := start(t, g, backend.Config{Entries: 64, BufferSize: 4096, BufferCount: 1 << 12})
					w := newWaiters(t, p, n)
					dst := make([]backend.Completion, batch)
					for _, armed := range []bool{true, false} {
						clear(w.data)
						if armed {
							w.submit(op)
							for range n {
								poll(t, p, dst, 0)
							}
							w.send()
						} else {
							w.send()
							w.submit(op)
						}
						w.cancel()
						for w.left > 0 {
							w.note(poll(t, p, dst, backend.Forever))
						}
						if lost := w.missing(); lost > 0 {
							t.Errorf("armed %v: %d of %d receives, whose data was there, were canceled without it", armed, lost, n)
						}
						for i, err := range w.ended {
							if err != nil && (way != "multishot" || err != backend.ErrCanceled) {
								t.Fatalf("armed %v: receive %d ended with %v", armed, i, err)
							}
						}
					}
				})
			}
		}
	}
}

// What has no result is canceled soon also on a backend so busy that dst is always full.
func TestCancelUnderLoad(t *testing.T) {
	const n, batch = 400, 8
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{})
			idle, _ := sockets(t)
			token := p.Submit(&backend.Op{Kind: backend.Recv, FD: idle})
			w := newWaiters(t, p, n)
			dst := make([]backend.Completion, batch)
			w.submit(recvWays["multishot"])
			for range n {
				poll(t, p, dst, 0)
			}
			w.send()
			p.Cancel(token)
			for polls := 1; ; polls++ {
				got := poll(t, p, dst, backend.Forever)
				for _, c := range got {
					if c.Token == token {
						if c.Err != backend.ErrCanceled {
							t.Fatalf("%+v", c)
						}
						return
					}
					unix.Write(w.peers[w.which[c.Token]], []byte("x"))
					p.Release(c.Lease)
				}
				if polls > 4*n/batch {
					t.Fatalf("not canceled after %d completions, %d of which were there before", polls*batch, n)
				}
			}
		})
	}
}

// A Poll whose time has come reports everything that is there, if it has the room.
func TestThoroughPoll(t *testing.T) {
	n := receivesAtOnce()
	for _, g := range variants(t) {
		for way, op := range recvWays {
			t.Run(g.name+"/"+way, func(t *testing.T) {
				p := start(t, g, backend.Config{Entries: 64, BufferSize: 4096, BufferCount: 1 << 12})
				w := newWaiters(t, p, n)
				dst := make([]backend.Completion, 2*n)
				w.submit(op)
				for range n {
					poll(t, p, dst, 0)
				}
				w.send()
				w.note(poll(t, p, dst, 1))
				if lost := w.missing(); lost > 0 {
					t.Errorf("of %d receives with data %d were not reported", n, lost)
				}
				// What has not been tried is.
				clear(w.data)
				w.cancel()
				for w.left > 0 {
					w.note(poll(t, p, dst, backend.Forever))
				}
				w.send()
				w.submit(op)
				w.note(poll(t, p, dst, 1))
				if lost := w.missing(); lost > 0 {
					t.Errorf("of %d new receives with data %d were not reported", n, lost)
				}
			})
		}
	}
}

// A thorough Poll is over though a send is not that can go on: this one takes a thousand requests.
func TestThoroughPollEnds(t *testing.T) {
	const requests = 1000
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{})
			fd, _ := tcpPair(t)
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20); err != nil {
				t.Fatal(err)
			}
			bytes := make([][]byte, requests*maxPieces)
			for i := range bytes {
				bytes[i] = []byte("x")
			}
			p.Submit(&backend.Op{Kind: backend.Send, FD: fd, Bufs: bytes})
			dst := make([]backend.Completion, 1)
			polls := 1
			for ; len(poll(t, p, dst, 1)) == 0; polls++ {
			}
			if dst[0].Err != nil || dst[0].N != len(bytes) {
				t.Errorf("%+v", dst[0])
			}
			if polls < 2 {
				t.Errorf("a Poll has waited for the end of a send")
			}
		})
	}
}

// A canceled receive whose peer sends all the time ends soon: it need not report all that comes, and the rest stays there.
func TestCancelOfAStream(t *testing.T) {
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{})
			fd, peer := sockets(t)
			const enough = 4 << 20
			stop := make(chan struct{})
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for b := make([]byte, 1<<16); ; {
					select {
					case <-stop:
						return
					default:
						unix.Write(peer, b)
					}
				}
			}()
			defer func() {
				close(stop)
				<-sent
			}()
			dst := make([]backend.Completion, 1024)
			token := p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
			for n := 0; n < 1<<20; {
				for _, c := range poll(t, p, dst, backend.Forever) {
					n += c.N
					p.Release(c.Lease)
				}
			}
			p.Cancel(token)
			for n, ended := 0, false; !ended; {
				for _, c := range poll(t, p, dst, backend.Forever) {
					if n += c.N; n > enough {
						t.Fatalf("%d bytes came after the cancel", n)
					}
					p.Release(c.Lease)
					ended = !c.More
				}
			}
		})
	}
}
