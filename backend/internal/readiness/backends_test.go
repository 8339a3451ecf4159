//go:build linux

package readiness_test

import (
	"slices"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/epoll"
	"github.com/eyewall/eyewall/backend/selectpoll"
	"golang.org/x/sys/unix"
)

// What the conformance suite asks of every backend stands there. Here is what could go wrong on readiness alone.

// bench is a backend under test.
type bench struct {
	*testing.T
	backend.Backend
	dst  []backend.Completion
	kept map[backend.Token][]backend.Completion
}

const limit = 5 * time.Second

// each runs test on both pollers.
func each(t *testing.T, cfg backend.Config, test func(*bench)) {
	for name, open := range map[string]func(backend.Config) (backend.Backend, error){"epoll": epoll.Open, "select": selectpoll.Open} {
		t.Run(name, func(t *testing.T) {
			b, err := open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
			test(&bench{T: t, Backend: b, dst: make([]backend.Completion, 64), kept: map[backend.Token][]backend.Completion{}})
		})
	}
}

// submit is Submit of what is written in place.
func (b *bench) submit(op backend.Op) backend.Token { return b.Submit(&op) }

// turn polls once and keeps what comes.
func (b *bench) turn(wait time.Duration) int {
	b.Helper()
	until := time.Duration(0)
	if wait > 0 {
		until = b.Now() + wait
	}
	n, err := b.Poll(b.dst, until)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range b.dst[:n] {
		b.kept[c.Token] = append(b.kept[c.Token], c)
	}
	return n
}

// next waits for a completion of t.
func (b *bench) next(t backend.Token) backend.Completion {
	b.Helper()
	for end := b.Now() + limit; len(b.kept[t]) == 0; {
		if b.turn(limit) == 0 && b.Now() >= end {
			b.Fatalf("no completion of %#x within %v", t, limit)
		}
	}
	c := b.kept[t][0]
	b.kept[t] = b.kept[t][1:]
	return c
}

// nothing makes sure that t has no completion for a while.
func (b *bench) nothing(t backend.Token, wait time.Duration) {
	b.Helper()
	for end := b.Now() + wait; b.Now() < end; {
		b.turn(end - b.Now())
	}
	if len(b.kept[t]) > 0 {
		b.Fatalf("a completion came: %+v", b.kept[t][0])
	}
}

// spent counts the system calls of do.
func (b *bench) spent(do func()) uint64 {
	before := b.Stats().Syscalls
	do()
	return b.Stats().Syscalls - before
}

// pair is two sockets that are connected.
func (b *bench) pair(domain, kind int) (int, int) {
	b.Helper()
	var p [2]int
	if domain == unix.AF_UNIX {
		fds, err := unix.Socketpair(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		p = fds
	} else {
		ln := b.socket(domain, kind)
		b.must(unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		b.must(unix.Listen(ln, 1))
		at, err := unix.Getsockname(ln)
		b.must(err)
		p[0], err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
		b.must(err)
		b.must(unix.Connect(p[0], at))
		p[1], _, err = unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		b.must(err)
		b.must(unix.SetNonblock(p[0], true))
	}
	b.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

func (b *bench) socket(domain, kind int) int {
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	b.must(err)
	b.Cleanup(func() { unix.Close(fd) })
	return fd
}

// must ends the test where there is an error, but for those that are expected.
func (b *bench) must(err error, but ...error) {
	b.Helper()
	if err != nil && !slices.Contains(but, err) {
		b.Fatal(err)
	}
}

func (b *bench) put(fd int, s string) {
	b.Helper()
	if n, err := unix.Write(fd, []byte(s)); n != len(s) || err != nil {
		b.Fatalf("write: %d, %v", n, err)
	}
}

// stream takes lent bytes until it has n.
func (b *bench) stream(t backend.Token, n int) string {
	b.Helper()
	var got []byte
	for len(got) < n {
		c := b.next(t)
		if c.Err != nil {
			b.Fatalf("after %q: %v", got, c.Err)
		}
		got = append(got, c.Data...)
		b.Release(c.Lease)
	}
	return string(got)
}
