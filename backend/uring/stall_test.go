//go:build linux

package uring

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// Receives use up the buffers that the kernel has, which come back. Then more receives than half of the submission queue
// come at once, for each of which there is data, and nothing else happens.
func TestManyReceivesAtOnce(t *testing.T) {
	const n = 600
	for _, g := range variants(t) {
		for _, way := range []string{"lent", "multishot"} {
			t.Run(g.name+"/"+way, func(t *testing.T) {
				p := start(t, g, backend.Config{})
				w := newWaiters(t, p, n)
				dst := make([]backend.Completion, 1024)
				all := w.fds
				for _, k := range []int{plainTarget, n, n} {
					clear(w.data)
					w.send()
					w.fds = all[:k]
					w.submit(recvWays[way])
					for reported := 0; reported < k; reported = n - w.missing() {
						w.note(poll(t, p, dst, backend.Forever))
					}
					w.cancel()
					for w.left > 0 {
						w.note(poll(t, p, dst, backend.Forever))
					}
				}
			})
		}
	}
}

// The smallest queues and the fewest buffers are slow, and that is all.
func TestSmallest(t *testing.T) {
	const n = 20
	for _, g := range variants(t) {
		for _, entries := range []int{1, 2, 4} {
			for _, buffers := range []int{0, 1, 2} {
				t.Run(fmt.Sprintf("%s/%d entries, %d buffers", g.name, entries, buffers), func(t *testing.T) {
					p := start(t, g, backend.Config{Entries: entries, BufferCount: buffers})
					dst := make([]backend.Completion, 4)
					for _, way := range []string{"lent", "multishot", "buffer"} {
						w := newWaiters(t, p, n)
						for range 3 {
							clear(w.data)
							w.submit(recvWays[way])
							w.send()
							for w.missing() > 0 {
								w.note(poll(t, p, dst, backend.Forever))
							}
							w.cancel()
							for w.left > 0 {
								w.note(poll(t, p, dst, backend.Forever))
							}
						}
					}
				})
			}
		}
	}
}

// A kernel that has no memory to take a buffer is asked again after a pause.
func TestProvideRefused(t *testing.T) {
	p := start(t, basic, backend.Config{BufferCount: 1})
	dst := make([]backend.Completion, 4)
	fd, peer := sockets(t)
	receive := func() {
		t.Helper()
		unix.Write(peer, []byte("x"))
		p.Submit(&backend.Op{Kind: backend.Recv, FD: fd})
		got := poll(t, p, dst, backend.Forever)
		if len(got) != 1 || got[0].Err != nil || got[0].N != 1 {
			t.Fatalf("%+v", got)
		}
		p.Release(got[0].Lease)
	}
	receive()
	p.provided(p.pool.give(), -int32(unix.ENOMEM)) // without a request, but with the completion that it might have
	if p.pool.given != 0 || p.pool.stocked() {
		t.Fatalf("%d buffers given", p.pool.given)
	}
	before := p.Stats().Syscalls
	receive()
	if calls := p.Stats().Syscalls - before; calls > 20 {
		t.Errorf("%d system calls", calls)
	}
}

// The kernel may refuse to be entered for a while. Many times in a row are an error, which says so.
func TestRefused(t *testing.T) {
	defer func(was time.Duration) { longestPause = was }(longestPause)
	longestPause = time.Microsecond
	for _, errno := range []unix.Errno{unix.ENOMEM, unix.EAGAIN, unix.EBUSY} {
		p := start(t, full, backend.Config{})
		for range 3 {
			for range mostRefusals {
				if err := p.entered(errno); err != nil {
					t.Fatal(err)
				}
			}
			fd, peer := sockets(t) // progress
			unix.Write(peer, []byte("x"))
			p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Buf: make([]byte, 1)})
			if got := poll(t, p, make([]backend.Completion, 1), backend.Forever); len(got) != 1 || got[0].N != 1 {
				t.Fatalf("%+v", got)
			}
		}
		var err error
		for range mostRefusals + 1 {
			err = p.entered(errno)
		}
		if want := unix.ErrnoName(errno) + " from io_uring_enter"; err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "101 times in a row") {
			t.Errorf("%v, want %q and how often", err, want)
		}
	}
}

// A Unix socket whose listener has no room polls writable. Connects wait for room nevertheless, and cost next to nothing.
func TestConnectToFullQueue(t *testing.T) {
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) {
			p := start(t, g, backend.Config{})
			dst := make([]backend.Completion, 4)
			dir, err := os.MkdirTemp("", "eyewall")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			path := filepath.Join(dir, "s")
			ln := unixSocket(t)
			if err := unix.Bind(ln, &unix.SockaddrUnix{Name: path}); err != nil {
				t.Fatal(err)
			}
			unix.Listen(ln, 0)
			connect := func() backend.Token {
				addr := append(binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX), path...)
				return p.Submit(&backend.Op{Kind: backend.Connect, FD: unixSocket(t), Addr: append(addr, 0)})
			}
			connect()
			if got := poll(t, p, dst, backend.Forever); len(got) != 1 || got[0].Err != nil {
				t.Fatalf("%+v", got)
			}
			waits, ends := connect(), connect()
			before := p.Stats().Syscalls
			if got := poll(t, p, dst, p.Now()+300*time.Millisecond); len(got) > 0 {
				t.Fatalf("%+v", got)
			}
			if calls := p.Stats().Syscalls - before; calls > 100 {
				t.Errorf("to wait for 300 ms took %d system calls", calls)
			}
			p.Cancel(ends)
			if got := poll(t, p, dst, backend.Forever); len(got) != 1 || got[0].Token != ends || got[0].Err != backend.ErrCanceled {
				t.Fatalf("%+v", got)
			}
			fd, _, err := unix.Accept(ln)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
			if got := poll(t, p, dst, backend.Forever); len(got) != 1 || got[0].Token != waits || got[0].Err != nil {
				t.Errorf("%+v", got)
			}
			before = p.Stats().Syscalls
			poll(t, p, dst, p.Now()+100*time.Millisecond)
			if calls := p.Stats().Syscalls - before; calls > 4 {
				t.Errorf("%d system calls with nothing to wait for", calls)
			}
		})
	}
}

// An operation whose descriptor is ready and has nothing for it is tried again after a while, rather than at once and for
// ever.
func TestReadyForNothing(t *testing.T) {
	p := start(t, full, backend.Config{})
	fd, peer := sockets(t)
	token := p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Buf: make([]byte, 8)})
	poll(t, p, nil, 0)
	o := p.table.Lookup(token)
	again := -int32(unix.EAGAIN)
	for i, c := range []struct {
		res  int32
		want uint8
	}{{again, waiting}, {unix.POLLIN, roused}, {again, resting}} {
		silence(t, p, token)
		if p.complete(uint64(token), c.res, 0); o.State&c.want == 0 {
			t.Fatalf("step %d: state %#x, want %#x", i, o.State, c.want)
		}
	}
	unix.Write(peer, []byte("x"))
	dst := make([]backend.Completion, 1)
	for {
		if got := poll(t, p, dst, backend.Forever); len(got) == 1 {
			if got[0].Token != token || got[0].N != 1 {
				t.Errorf("%+v", got)
			}
			return
		}
	}
}

func unixSocket(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}
