//go:build linux

package uring

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// Close does not wait for ever for a request that does not end, and keeps what that refers to.
func TestCloseGivesUp(t *testing.T) {
	g := need(t, full)
	was := drainLimit
	drainLimit = 50 * time.Millisecond
	defer func() { drainLimit = was }()
	before := descriptors(t)
	p := start(t, g, backend.Config{})
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(s[1], []byte("x"))
	p.Submit(&backend.Op{Kind: backend.Splice, FD: s[0]}) // which is lent a pipe
	if got := poll(t, p, make([]backend.Completion, 1), backend.Forever); len(got) != 1 || got[0].Err != nil {
		t.Fatal(got)
	}
	unix.Close(s[0])
	unix.Close(s[1])
	p.flying++ // a request that the kernel does not know never ends
	began := time.Now()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < drainLimit || took > 20*drainLimit {
		t.Errorf("Close took %v", took)
	}
	if n := descriptors(t); n > before {
		t.Errorf("%d descriptors are left", n-before)
	}
	if p.pool.mem == nil || len(orphans.list) == 0 || orphans.list[len(orphans.list)-1] != p {
		t.Error("memory was freed that a request may refer to")
	}
	p.pool.mem[0] = 1 // it is still there
}

// A connection ends for its peer in the turn that closes it, be receives and sends in flight or not.
func TestCloseTakesOneTurn(t *testing.T) {
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{})
			const n = 100
			var peers [n]int
			var fds [n]int
			dst := make([]backend.Completion, 10*n)
			for i := range fds {
				s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
				if err != nil {
					t.Fatal(err)
				}
				fds[i], peers[i] = s[0], s[1]
				defer unix.Close(s[1])
				p.Submit(&backend.Op{Kind: backend.Recv, FD: s[0], Multishot: true})
				p.Submit(&backend.Op{Kind: backend.Send, FD: s[0], Buf: make([]byte, 10<<20)})
			}
			for len(poll(t, p, dst, p.Now()+10*time.Millisecond)) > 0 {
			}
			for _, fd := range fds {
				p.Submit(&backend.Op{Kind: backend.Close, FD: fd})
			}
			turns := 0
			for left := 3 * n; left > 0; turns++ {
				left -= len(poll(t, p, dst, backend.Forever))
			}
			// The kernel carries out some twenty of what it deferred in a call.
			if limit := 3*n/20 + 2; turns > limit {
				t.Errorf("%d turns to close %d connections, want up to %d", turns, n, limit)
			}
			for _, peer := range peers {
				for p := make([]byte, 1<<20); ; {
					if k, err := unix.Read(peer, p); k == 0 {
						break
					} else if err != nil {
						t.Fatalf("the peer has %v, want the end", err)
					}
				}
			}
		})
	}
}

// Wake after Close writes to no descriptor, as its number may be another's by then.
func TestWakeAfterClose(t *testing.T) {
	for range 50 {
		p := start(t, full, backend.Config{})
		number := p.waker.fd
		var wakers sync.WaitGroup
		stop := make(chan struct{})
		for range 3 {
			wakers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						p.Wake()
					}
				}
			})
		}
		for range 3 {
			poll(t, p, make([]backend.Completion, 1), backend.Forever)
		}
		p.Close()
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		p.waker.state.Store(sleeping) // as a Wake would find it that began before
		p.Wake()
		time.Sleep(100 * time.Microsecond)
		close(stop)
		wakers.Wait()
		var count [8]byte
		if n, err := unix.Read(fd, count[:]); err != unix.EAGAIN {
			t.Errorf("%d, %v: a Wake wrote to descriptor %d, which was %d", n, err, fd, number)
		}
		unix.Close(fd)
	}
}

// What is called after Close, though nothing may be, does no harm.
func TestAfterClose(t *testing.T) {
	p := start(t, full, backend.Config{})
	fd, _ := sockets(t)
	token := p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
	dst := make([]backend.Completion, 1)
	poll(t, p, dst, 0)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Poll(dst, 0); n != 0 || err != backend.ErrClosed {
		t.Errorf("Poll: %d, %v", n, err)
	}
	p.Submit(&backend.Op{Kind: backend.Send, FD: fd, Buf: []byte("x")})
	p.Submit(&backend.Op{Kind: backend.Close, FD: fd})
	p.Cancel(token)
	p.Wake()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// Close closes the descriptors that were accepted and that no Poll has reported, wherever they are by then: with the backend,
// in the ring, in what the kernel has set aside because the ring is full, or with the kernel.
func TestCloseAccepted(t *testing.T) {
	const n = 600
	for _, g := range variants(t) {
		for _, polls := range []int{0, 1, 5, 100} {
			t.Run(fmt.Sprintf("%s/%d polls", g.name, polls), func(t *testing.T) {
				p := start(t, g, backend.Config{Entries: 8}) // 256 completions
				ln := unixSocket(t)
				path := filepath.Join(t.TempDir(), "s")
				if err := unix.Bind(ln, &unix.SockaddrUnix{Name: path}); err != nil {
					t.Fatal(err)
				}
				unix.Listen(ln, n)
				p.Submit(&backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
				poll(t, p, nil, 0)
				for range n {
					if err := unix.Connect(unixSocket(t), &unix.SockaddrUnix{Name: path}); err != nil {
						t.Fatal(err)
					}
				}
				before := descriptors(t)
				for range polls {
					poll(t, p, nil, 0)
				}
				if accepted := descriptors(t) - before; accepted == 0 && polls > 0 {
					t.Errorf("nothing was accepted")
				}
				p.Close()
				// The ring and the eventfd are gone, too.
				if left := descriptors(t) - (before - 2); left > 0 {
					t.Errorf("%d descriptors are left of %d", left, n)
				}
			})
		}
	}
}
