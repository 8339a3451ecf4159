//go:build linux

package readiness_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// A steady exchange costs a read and a write a message, and a call of the poller a turn: no read ends in EAGAIN.
func TestSyscallsPerMessage(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		const conns, rounds = 20, 50
		var in [conns]backend.Token
		var near, far [conns]int
		for i := range in {
			near[i], far[i] = b.pair(unix.AF_INET, unix.SOCK_STREAM)
			in[i] = b.submit(backend.Op{Kind: backend.Recv, FD: near[i], Multishot: true})
		}
		round := func() {
			for i := range far {
				b.put(far[i], "hello")
			}
			var out [conns]backend.Token
			var lent [conns]backend.Lease
			for i := range in {
				c := b.next(in[i])
				lent[i] = c.Lease
				out[i] = b.submit(backend.Op{Kind: backend.Send, FD: near[i], Buf: c.Data})
			}
			for i := range out {
				b.next(out[i])
				b.Release(lent[i])
				var p [8]byte
				unix.Read(far[i], p[:])
			}
		}
		round() // in which the descriptors are registered, and looked at
		calls := b.spent(func() {
			for range rounds {
				round()
			}
		})
		// Data that comes in two lots may cost a turn more now and then.
		if least := uint64(2 * conns * rounds); calls < least || calls > least+4*rounds {
			b.Errorf("%d messages cost %d system calls; want %d and a few for the turns", conns*rounds, calls, least)
		}
	})
}

// Waiting costs nothing, however many descriptors are ready that nobody cares for.
func TestIdleDoesNotSpin(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		for range 10 {
			near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			tok := b.submit(backend.Op{Kind: backend.Recv, FD: near})
			b.turn(0)
			b.Cancel(tok)
			b.next(tok)
			b.put(far, "unread")
		}
		near, _ := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		b.submit(backend.Op{Kind: backend.Recv, FD: near})
		b.turn(0)
		if calls := b.spent(func() { b.turn(100 * time.Millisecond) }); calls > 15 {
			b.Errorf("waiting cost %d system calls", calls)
		}
	})
}

// Reads stop short at urgent data, and what comes after it would never be told of.
func TestUrgentData(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_INET, unix.SOCK_STREAM)
		tok := b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true})
		b.turn(0)
		for range 3 {
			b.put(far, "before")
			b.must(unix.Sendto(far, []byte("!"), unix.MSG_OOB, nil))
			b.put(far, "after")
			if got := b.stream(tok, len("beforeafter")); got != "beforeafter" {
				b.Errorf("received %q", got)
			}
		}
	})
}

// A read of one message is short, and says nothing about the next.
func TestMessagesApart(t *testing.T) {
	for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		each(t, backend.Config{}, func(b *bench) {
			near, far := b.pair(unix.AF_UNIX, kind)
			tok := b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true})
			b.turn(0)
			for round := range 3 {
				for i := range 9 { // as many as a Unix socket's queue takes
					b.put(far, strconv.Itoa(round*100+i))
				}
				for i := range 9 {
					c := b.next(tok)
					if want := strconv.Itoa(round*100 + i); string(c.Data) != want {
						b.Fatalf("received %q, want %q", c.Data, want)
					}
					b.Release(c.Lease)
				}
			}
		})
	}
}

// So is one of bytes that carry descriptors, which we drop.
func TestDescriptorsPassed(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		tok := b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true})
		b.turn(0)
		b.must(unix.Sendmsg(far, []byte("one"), unix.UnixRights(far), nil, 0))
		b.put(far, "two")
		if got := b.stream(tok, 6); got != "onetwo" {
			b.Errorf("received %q", got)
		}
	})
}

// The end of the stream came with the data: no other event will tell of it.
func TestEndWithData(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_INET, unix.SOCK_STREAM)
		tok := b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true})
		b.turn(0)
		b.put(far, "last words")
		b.must(unix.Shutdown(far, unix.SHUT_WR))
		time.Sleep(10 * time.Millisecond)
		if got := b.stream(tok, 10); got != "last words" {
			b.Errorf("received %q", got)
		}
		if c := b.next(tok); c.More || c.Err == nil {
			b.Errorf("then %+v, want the end", c)
		}
	})
}

// Whoever streams leaves the others their turn.
func TestStreamsDoNotStarve(t *testing.T) {
	each(t, backend.Config{BufferSize: 4096, BufferCount: 64}, func(b *bench) {
		var streams []backend.Token
		var ends []int
		for range 100 {
			near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			streams = append(streams, b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true}))
			ends = append(ends, far)
		}
		feed := func() {
			var p [8192]byte
			for _, fd := range ends {
				unix.Write(fd, p[:])
			}
		}
		quiet, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		tok := b.submit(backend.Op{Kind: backend.Recv, FD: quiet, Multishot: true})
		for range 20 {
			feed()
			b.turn(0)
			b.drop(streams)
		}
		b.put(far, "x")
		for turns := 0; len(b.kept[tok]) == 0; turns++ {
			if turns > 200 {
				b.Fatalf("not served in %d turns", turns)
			}
			feed()
			b.turn(0)
			b.drop(streams)
		}
	})
}

// drop releases what has come for those.
func (b *bench) drop(toks []backend.Token) {
	for _, t := range toks {
		for _, c := range b.kept[t] {
			b.Release(c.Lease)
		}
		delete(b.kept, t)
	}
}

// Receives that wait for a buffer get one in the order in which they came.
func TestStarvedInTurn(t *testing.T) {
	each(t, backend.Config{BufferSize: 1024, BufferCount: 1}, func(b *bench) {
		hog, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		b.put(far, string(make([]byte, 1024)))
		held := b.next(b.submit(backend.Op{Kind: backend.Recv, FD: hog}))
		var toks []backend.Token
		for range 5 {
			near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
			b.put(far, string(make([]byte, 1024)))
			toks = append(toks, b.submit(backend.Op{Kind: backend.Recv, FD: near}))
			b.turn(0)
		}
		if s := b.Stats().Starved; s != 5 {
			b.Errorf("%d receives starved, want 5", s)
		}
		if calls := b.spent(func() { b.turn(50 * time.Millisecond) }); calls > 4 {
			b.Errorf("starving cost %d system calls", calls)
		}
		for i, tok := range toks {
			b.Release(held.Lease)
			b.turn(limit)
			if len(b.kept[tok]) != 1 {
				b.Fatalf("receive %d is not the next to be served", i)
			}
			held = b.next(tok)
		}
	})
}

// What becomes of a descriptor that lives on in a duplicate is nobody's business after its Close.
func TestDuplicateLivesOn(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		old := b.submit(backend.Op{Kind: backend.Recv, FD: near, Multishot: true})
		b.turn(0)
		dup, err := unix.Dup(near)
		b.must(err)
		defer unix.Close(dup)
		end := b.submit(backend.Op{Kind: backend.Close, FD: near})
		if c := b.next(old); c.Err != backend.ErrClosed {
			b.Errorf("the receive ended with %+v", c)
		}
		b.next(end)
		other, peer := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		if other != near {
			b.Fatalf("descriptor %d is not used again, but %d", near, other)
		}
		tok := b.submit(backend.Op{Kind: backend.Recv, FD: other, Multishot: true})
		b.put(far, "for the duplicate")
		b.nothing(tok, 20*time.Millisecond)
		if calls := b.spent(func() { b.turn(50 * time.Millisecond) }); calls > 4 {
			b.Errorf("the duplicate's data cost %d system calls", calls)
		}
		b.put(peer, "mine")
		if got := b.stream(tok, 4); got != "mine" {
			b.Errorf("received %q", got)
		}
	})
}

// What is there beats a cancel also where no pipe is free, and the turn had too much to do to come to it.
func TestCanceledSpliceWithoutPipe(t *testing.T) {
	each(t, backend.Config{}, func(b *bench) {
		near, far := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		for { // takes all pipes
			b.put(far, "x")
			c := b.next(b.submit(backend.Op{Kind: backend.Splice, FD: near}))
			b.must(c.Err)
			if c.Data != nil {
				b.Release(c.Lease)
				break
			}
		}
		busy, source := b.pair(unix.AF_UNIX, unix.SOCK_STREAM)
		b.put(source, strings.Repeat("x", 160<<10))
		first := b.submit(backend.Op{Kind: backend.Recv, FD: busy})
		second := b.submit(backend.Op{Kind: backend.Recv, FD: busy})
		b.put(far, "there")
		tok := b.submit(backend.Op{Kind: backend.Splice, FD: near})
		b.Cancel(tok)
		if c := b.next(tok); c.Err != nil || string(c.Data) != "there" {
			b.Errorf("the one that was canceled has %+v", c)
		}
		b.next(first)
		b.next(second)
	})
}
