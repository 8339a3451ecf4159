//go:build linux

package readiness_test

import (
	"testing"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// Peers that send all the time leave the others their turn also while the caller's timer is due, poll after poll.
func TestLooksAreFair(t *testing.T) {
	each(t, backend.Config{BufferSize: 4096, BufferCount: 64}, func(b *bench) {
		var streams []backend.Token
		var ends []int
		for range 50 { // each of which may fill several places in dst
			near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			streams = append(streams, b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true}))
			ends = append(ends, far)
		}
		var quiet []backend.Token
		var fars []int
		for range 100 {
			near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			quiet = append(quiet, b.submit(backend.Op{Kind: backend.Recv, FD: near, Buf: make([]byte, 1)}))
			fars = append(fars, far)
		}
		look := func() {
			var p [1 << 14]byte
			for _, fd := range ends {
				unix.Write(fd, p[:])
			}
			n, err := b.Poll(b.dst, b.Now())
			b.must(err)
			for _, c := range b.dst[:n] {
				b.kept[c.Token] = append(b.kept[c.Token], c)
			}
			b.drop(streams)
		}
		for range 10 {
			look()
		}
		for _, fd := range fars {
			b.put(fd, "x")
		}
		for range 100 {
			look()
		}
		for i, tok := range quiet {
			if len(b.kept[tok]) != 1 {
				b.Fatalf("after 100 Polls the receive %d has no result", i)
			}
		}
	})
}

// A Close costs what it has to: the poller is asked no more often for it.
func TestClosesDoNotAsk(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		const n = 100
		echo, _ := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		var fds [n]int
		for i := range fds {
			fds[i], _ = b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			b.submit(backend.Op{Kind: backend.Recv, FD: fds[i], Multishot: true})
			b.turn(0)
		}
		calls := b.spent(func() {
			for _, fd := range fds {
				out, end := b.submit(backend.Op{Kind: backend.Send, FD: echo, Buf: []byte("x")}), b.submit(backend.Op{Kind: backend.Close, FD: fd})
				b.next(out)
				b.next(end)
			}
		})
		// A send and a close each; epoll takes the descriptor out before. Each second turn asks.
		most := uint64(2*n + n/2 + 10)
		if b.Caps().Name == "epoll" {
			most += n
		}
		if calls > most {
			b.Errorf("%d connections closed cost %d system calls, more than %d", n, calls, most)
		}
	})
}

// An operation that is submitted together with the Close of its descriptor is tried, however little room there is.
func TestTriedBeforeClose(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		var ins, outs, ends []backend.Token
		var fars []int
		for range 40 {
			in, source := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			b.put(source, "x")
			ins = append(ins, b.submit(backend.Op{Kind: backend.Recv, FD: in}))
		}
		for range 40 {
			near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			fars = append(fars, far)
			outs = append(outs, b.submit(backend.Op{Kind: backend.Send, FD: near, Buf: []byte("last words")}))
			ends = append(ends, b.submit(backend.Op{Kind: backend.Close, FD: near}))
		}
		b.dst = b.dst[:10]
		for i, tok := range outs {
			if c := b.next(tok); c.Err != nil || c.N != len("last words") {
				b.Errorf("send %d has %+v", i, c)
			}
			b.next(ends[i])
			var p [20]byte
			if n, err := unix.Read(fars[i], p[:]); n != len("last words") || err != nil {
				b.Errorf("the peer got %q, %v", p[:max(n, 0)], err)
			}
		}
		for _, tok := range ins {
			b.Release(b.next(tok).Lease)
		}
	})
}
