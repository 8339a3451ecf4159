//go:build linux

package readiness_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/readiness"
	"github.com/eyewall/eyewall/backend/selectpoll"
	"golang.org/x/sys/unix"
)

// A Unix listener's queue is full, and no poller tells when it is not.
func TestConnectToFullQueue(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		ln := b.socket(unix.AF_UNIX, unix.SOCK_STREAM)
		b.must(unix.Bind(ln, &unix.SockaddrUnix{Name: filepath.Join(b.TempDir(), "s")}))
		b.must(unix.Listen(ln, 0))
		at, err := unix.Getsockname(ln)
		b.must(err)
		addr := rawUnix(at.(*unix.SockaddrUnix).Name)
		connect := func() backend.Token {
			return b.submit(backend.Op{Kind: backend.Connect, FD: b.socket(unix.AF_UNIX, unix.SOCK_STREAM), Addr: addr})
		}
		if c := b.next(connect()); c.Err != nil {
			b.Fatal(c.Err)
		}
		a, c := connect(), connect()
		b.nothing(a, 20*time.Millisecond)
		if calls := b.spent(func() { b.nothing(a, 200*time.Millisecond) }); calls > 60 {
			b.Errorf("waiting cost %d system calls", calls)
		}
		b.Cancel(c)
		if c := b.next(c); c.Err != backend.ErrCanceled {
			b.Errorf("the one that was cancelled has %+v", c)
		}
		fd, _, err := unix.Accept(ln)
		b.must(err)
		unix.Close(fd)
		if c := b.next(a); c.Err != nil {
			b.Errorf("when there is room again: %v", c.Err)
		}
		if calls := b.spent(func() { b.turn(100 * time.Millisecond) }); calls > 4 {
			b.Errorf("with nothing left to retry, waiting cost %d system calls", calls)
		}
	})
}

func rawUnix(path string) []byte {
	raw := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	p := []byte{byte(raw.Family), byte(raw.Family >> 8)}
	if p[0] == 0 { // big endian
		p[0], p[1] = p[1], p[0]
	}
	return append(append(p, path...), 0)
}

// A hang-up is found although there is unread data, which select cannot tell from it, and without spinning.
func TestPollBesideUnreadData(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		b.put(far, "unread")
		for filled := make([]byte, 4096); ; {
			if _, err := unix.Write(near, filled); err == unix.EAGAIN {
				break
			}
		}
		hup := b.submit(backend.Op{Kind: backend.Poll, FD: near})
		out := b.submit(backend.Op{Kind: backend.Poll, FD: near, Events: unix.POLLOUT})
		if calls := b.spent(func() { b.nothing(hup, 200*time.Millisecond) }); calls > 60 {
			b.Errorf("waiting cost %d system calls", calls)
		}
		if len(b.kept[out]) > 0 {
			b.Fatalf("a full socket is writable: %+v", b.kept[out])
		}
		for rest := make([]byte, 1<<16); ; {
			if _, err := unix.Read(far, rest); err == unix.EAGAIN {
				break
			}
		}
		if c := b.next(out); c.Err != nil || c.N != unix.POLLOUT {
			b.Errorf("writable: %+v", c)
		}
		b.must(unix.Shutdown(far, unix.SHUT_RDWR))
		if c := b.next(hup); c.Err != nil || c.N&unix.POLLHUP == 0 {
			b.Errorf("hung up: %+v", c)
		}
	})
}

func TestPollUrgent(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_INET, unix.SOCK_STREAM)
		tok := b.submit(backend.Op{Kind: backend.Poll, FD: near, Events: unix.POLLPRI})
		b.nothing(tok, 10*time.Millisecond)
		b.must(unix.Sendto(far, []byte("!"), unix.MSG_OOB, nil))
		if c := b.next(tok); c.Err != nil || c.N != unix.POLLPRI {
			b.Errorf("urgent data: %+v", c)
		}
	})
}

// A regular file is always ready, which epoll says by refusing it.
func TestRegularFile(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		f, err := os.Create(filepath.Join(b.TempDir(), "f"))
		b.must(err)
		defer f.Close()
		fd := int(f.Fd())
		if c := b.next(b.submit(backend.Op{Kind: backend.Write, FD: fd, Buf: []byte("hello")})); c.N != 5 || c.Err != nil {
			b.Errorf("write: %+v", c)
		}
		_, err = f.Seek(0, 0)
		b.must(err)
		buf := make([]byte, 9)
		if c := b.next(b.submit(backend.Op{Kind: backend.Read, FD: fd, Buf: buf})); string(buf[:c.N]) != "hello" || c.Err != nil {
			b.Errorf("read: %+v, %q", c, buf)
		}
		if c := b.next(b.submit(backend.Op{Kind: backend.Poll, FD: fd, Events: unix.POLLIN})); c.N != unix.POLLIN || c.Err != nil {
			b.Errorf("poll: %+v", c)
		}
		never := b.submit(backend.Op{Kind: backend.Poll, FD: fd, Events: unix.POLLPRI})
		if calls := b.spent(func() { b.nothing(never, 100*time.Millisecond) }); calls > 60 {
			b.Errorf("waiting for what never comes cost %d system calls", calls)
		}
		if c := b.next(b.submit(backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})); c.Err != syscall.ENOTSOCK {
			b.Errorf("receive: %+v", c)
		}
	})
}

// One descriptor that somebody closed by mistake leaves the others alone.
func TestClosedBehindOurBack(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		fd, err := unix.Dup(near)
		b.must(err)
		good := b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true})
		bad := b.submit(backend.Op{Kind: backend.Poll, FD: fd, Events: unix.POLLPRI})
		worse := b.submit(backend.Op{Kind: backend.Recv, FD: fd, Buf: make([]byte, 1)})
		b.turn(0)
		unix.Close(fd)
		if b.Caps().Name == "select" { // which is told; epoll forgets it without a word
			for _, tok := range []backend.Token{bad, worse} {
				if c := b.next(tok); c.Err != syscall.EBADF {
					b.Errorf("on a closed descriptor: %+v", c)
				}
			}
		}
		b.put(far, "still here")
		if got := b.stream(good, 10); got != "still here" {
			b.Errorf("received %q", got)
		}
		c := b.next(b.submit(backend.Op{Kind: backend.Recv, FD: fd}))
		if c.Err != syscall.EBADF && b.Caps().Name == "select" {
			b.Errorf("on a closed descriptor: %+v", c)
		}
	})
}

// No descriptor is too high, which on select takes more than the C library's sets.
func TestHighDescriptors(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		var limits unix.Rlimit
		b.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limits))
		for _, high := range []int{1023, 1024, 1025, 2047, int(limits.Cur) - 1} {
			near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			if high >= int(limits.Cur) {
				b.Logf("descriptor %d is beyond the limit of this process", high)
				continue
			}
			b.must(unix.Dup3(near, high, unix.O_CLOEXEC))
			tok := b.submit(backend.Op{Kind: backend.Recv, FD: high, Multishot: true})
			b.turn(time.Millisecond)
			b.put(far, "x")
			c := b.next(tok)
			if limit := new(selectpoll.LimitError); errors.As(c.Err, &limit) { // built for other systems
				if limit.FD != high || limit.Limit > high || !strings.Contains(c.Err.Error(), "FD_SETSIZE") {
					b.Error(c.Err)
				}
			} else if c.Err != nil {
				b.Errorf("on descriptor %d: %v", high, c.Err)
			}
			b.Release(c.Lease)
			if c := b.next(b.submit(backend.Op{Kind: backend.Close, FD: high})); c.Err != nil {
				b.Error(c.Err)
			}
		}
	})
}

// Descriptors run out, and there are some again.
func TestAcceptOutOfDescriptors(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		ln := b.socket(unix.AF_INET, unix.SOCK_STREAM)
		b.must(unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		b.must(unix.Listen(ln, 10))
		at, err := unix.Getsockname(ln)
		b.must(err)
		tok := b.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
		b.turn(0)
		for range 2 {
			b.must(unix.Connect(b.socket(unix.AF_INET, unix.SOCK_STREAM), at), unix.EINPROGRESS)
		}
		var limits unix.Rlimit
		b.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limits))
		few := limits
		few.Cur = 3
		b.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
		c := b.next(tok)
		b.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &limits))
		if c.Err != syscall.EMFILE || c.N != -1 || c.More {
			b.Errorf("without descriptors: %+v", c)
		}
		tok = b.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
		for range 2 {
			c := b.next(tok)
			if c.Err != nil {
				b.Fatal(c.Err)
			}
			unix.Close(c.N)
		}
	})
}

// Wake comes from any goroutine at any time, also when the descriptor it writes to is somebody else's by now.
func TestWakeBesideClose(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						b.Wake()
					}
				}
			})
		}
		for range 100 {
			b.turn(time.Millisecond)
		}
		b.must(b.Close())
		var pipes [][2]int
		for range 20 {
			var p [2]int
			b.must(unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
			pipes = append(pipes, p)
		}
		time.Sleep(5 * time.Millisecond)
		close(stop)
		wg.Wait()
		b.Wake()
		for _, p := range pipes {
			var buf [8]byte
			if n, err := unix.Read(p[0], buf[:]); err != unix.EAGAIN {
				b.Errorf("a pipe that was opened after Close holds %d bytes (%v)", n, err)
			}
			unix.Close(p[0])
			unix.Close(p[1])
		}
		if err := b.Close(); err != nil {
			b.Errorf("a second Close: %v", err)
		}
		if _, err := b.Poll(b.dst, 0); err == nil {
			b.Error("Poll works after Close")
		}
		b.Release(1 << 16)
	})
}

// Time is kept to better than the millisecond of epoll_wait.
func TestWaitsNoLongerThanAsked(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		best := time.Hour
		for range 20 {
			until := b.Now() + 300*time.Microsecond
			if _, err := b.Poll(b.dst, until); err != nil {
				b.Fatal(err)
			}
			late := b.Now() - until
			if late < 0 {
				b.Fatalf("Poll returns %v early", -late)
			}
			best = min(best, late)
		}
		if best > 500*time.Microsecond {
			b.Errorf("Poll returns %v late at best", best)
		}
	})
}

// Whoever has a duplicate of a descriptor, in another process, too, can make it blocking. os/exec does so with a file
// that a program is to have.
func TestBlockingDescriptor(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		ln := b.socket(unix.AF_INET, unix.SOCK_STREAM)
		b.must(unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		b.must(unix.Listen(ln, 10))
		at, err := unix.Getsockname(ln)
		b.must(err)
		near, far := b.pair(unix.AF_INET, unix.SOCK_STREAM)
		dial := func() { b.must(unix.Connect(b.socket(unix.AF_INET, unix.SOCK_STREAM), at), unix.EINPROGRESS) }
		accept := b.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
		dial()
		unix.Close(b.next(accept).N)

		// What blocks goes on when the test has failed.
		late := time.AfterFunc(limit, func() {
			b.Error("Poll blocks in a call")
			unix.Shutdown(ln, unix.SHUT_RDWR)
			unix.Shutdown(far, unix.SHUT_RDWR)
		})
		defer late.Stop()
		b.must(unix.SetNonblock(ln, false))
		for range 3 {
			for range 3 {
				dial()
			}
			for range 3 {
				unix.Close(b.next(accept).N)
			}
			b.turn(0)
		}
		b.Cancel(accept)
		b.next(accept)
		for range 3 {
			accept = b.submit(backend.Op{Kind: backend.Accept, FD: ln})
			b.turn(0)
			dial()
			unix.Close(b.next(accept).N)
		}

		if readiness.RecvReads { // read(2) takes no flag
			return
		}
		b.must(unix.SetNonblock(near, false))
		recv := b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true})
		b.turn(0)
		b.put(far, "hello")
		if got := b.stream(recv, 5); got != "hello" {
			b.Errorf("received %q", got)
		}
		for _, op := range []backend.Op{
			{Kind: backend.Send, FD: near, Buf: make([]byte, 8<<20)},
			{Kind: backend.Send, FD: near, Bufs: [][]byte{make([]byte, 8<<20)}},
		} {
			send := b.submit(op)
			b.turn(0)
			for left, p := 8<<20, make([]byte, 1<<16); left > 0; {
				n, err := unix.Read(far, p)
				if err == unix.EAGAIN {
					b.turn(0)
					continue
				}
				b.must(err)
				left -= n
			}
			if c := b.next(send); c.N != 8<<20 || c.Err != nil {
				b.Errorf("sent %d, %v", c.N, c.Err)
			}
		}
	})
}

// Who releases a lease twice is told so, be it a buffer's or a pipe's, and also where another lease is in its place.
func TestReleasedTwice(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		for _, kind := range []backend.Kind{backend.Recv, backend.Splice} {
			lend := func() backend.Completion {
				b.put(far, "hello")
				c := b.next(b.submit(backend.Op{Kind: kind, FD: near}))
				b.must(c.Err)
				return c
			}
			for _, between := range []int{0, 1, 2} {
				first, second := lend(), lend()
				b.Release(first.Lease)
				var others []backend.Lease
				for range between {
					others = append(others, lend().Lease)
				}
				func() {
					defer func() {
						if recover() == nil {
							b.Errorf("%v: lease %#x was released twice, with %d others in between", kind, first.Lease, between)
						}
					}()
					b.Release(first.Lease)
				}()
				for _, l := range append(others, second.Lease) {
					b.Release(l)
				}
			}
		}
		last := b.submit(backend.Op{Kind: backend.Recv, FD: near})
		b.put(far, "hello")
		c := b.next(last)
		b.must(b.Close())
		b.Release(c.Lease)
		b.Release(c.Lease)
	})
}
