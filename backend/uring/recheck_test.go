//go:build linux

package uring

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// tcpPair gives two ends of a TCP connection.
func tcpPair(t testing.TB) (ours, peer int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ln, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	defer unix.Close(ln)
	must(unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(ln, 1))
	addr, err := unix.Getsockname(ln)
	must(err)
	peer, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	must(unix.Connect(peer, addr))
	ours, _, err = unix.Accept4(ln, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	must(err)
	t.Cleanup(func() {
		unix.Close(ours)
		unix.Close(peer)
	})
	return ours, peer
}

// silence cancels every request of token, and has the backend not hear of it.
func silence(t testing.TB, p *proactor, token backend.Token) {
	t.Helper()
	for left := true; left; {
		if !p.requestCancel(uint64(token)) {
			t.Fatal("the submission queue is full")
		}
		if errno := p.ring.Wait(-1); errno != 0 && errno != unix.EINTR {
			t.Fatal(errno)
		}
		for c := p.ring.Next(); c != nil; c = p.ring.Next() {
			switch {
			case c.UserData&tagMask == tagCancel:
				left = unix.Errno(-c.Res) != unix.ENOENT
			case c.UserData != uint64(token) || unix.Errno(-c.Res) != unix.ECANCELED:
				t.Fatalf("unexpected completion %+v", *c)
			}
		}
		p.ring.Seen()
	}
}

// missAll has the receive of token miss whatever happens from now on: it puts a request in the place of its own that the
// kernel never completes, but for a cancel.
func missAll(t testing.TB, p *proactor, token backend.Token) {
	t.Helper()
	silence(t, p, token)
	quiet, _ := sockets(t)
	e := p.ring.SQE()
	e.PrepPoll(int32(quiet), unix.POLLIN, false)
	e.UserData = uint64(token)
}

// Whatever a receive has missed behind data, it reports in the end, and what comes after that, too.
func TestMissed(t *testing.T) {
	for what, c := range map[string]struct {
		happens func(t *testing.T, peer int)
		data    string
		end     error
	}{
		"data":   {func(t *testing.T, peer int) { put(t, peer, "later", 0) }, "later", nil},
		"urgent": {func(t *testing.T, peer int) { put(t, peer, "!", unix.MSG_OOB); put(t, peer, "later", 0) }, "later", nil},
		"end":    {func(t *testing.T, peer int) { unix.Shutdown(peer, unix.SHUT_WR) }, "", io.EOF},
		"data and end": {func(t *testing.T, peer int) {
			put(t, peer, "later", 0)
			unix.Shutdown(peer, unix.SHUT_WR)
		}, "later", io.EOF},
		"error": {func(t *testing.T, peer int) {
			unix.SetsockoptLinger(peer, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			reset(t, peer)
		}, "", unix.ECONNRESET},
	} {
		t.Run(what, func(t *testing.T) {
			p := start(t, full, backend.Config{})
			fd, peer := tcpPair(t)
			token := p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
			dst := make([]backend.Completion, 8)
			got := ""
			var end error
			receive := func(want string, wantEnd error) {
				t.Helper()
				for got != want || end != wantEnd {
					for _, c := range poll(t, p, dst, backend.Forever) {
						got += string(c.Data)
						end = c.Err
						p.Release(c.Lease)
					}
					if !strings.HasPrefix(want, got) || end != nil && (end != wantEnd || got != want) {
						t.Fatalf("%q, %v; want %q, %v", got, end, want, wantEnd)
					}
				}
			}
			poll(t, p, dst, 0)
			put(t, peer, "first", 0)
			receive("first", nil)
			missAll(t, p, token)
			c.happens(t, peer)
			receive("first"+c.data, c.end)
			if c.end == nil {
				put(t, peer, "last", 0)
				receive("first"+c.data+"last", nil)
			}
		})
	}
}

func put(t testing.TB, fd int, b string, flags int) {
	t.Helper()
	if err := unix.Sendto(fd, []byte(b), flags, nil); err != nil {
		t.Fatal(err)
	}
}

// reset ends a connection by a reset and leaves its descriptor open.
func reset(t testing.TB, fd int) {
	t.Helper()
	null, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// The bytes behind an urgent one arrive however close together they are sent. Of peers that send at the same time the kernel
// misses some one in five.
func TestUrgentByte(t *testing.T) {
	const rounds, conns, much = 10, 20, 50_000
	p := start(t, full, backend.Config{})
	dst := make([]backend.Completion, 256)
	sent := make(chan error, conns)
	write := func(fd, n int) error {
		for n > 0 { // signals cut it short
			k, err := unix.Write(fd, make([]byte, n))
			if err != nil && err != unix.EINTR {
				return err
			}
			n -= max(k, 0)
		}
		return nil
	}
	for round := range rounds {
		want := map[backend.Token]int{}
		for i := range conns {
			fd, peer := tcpPair(t)
			before := 1 + (i*rounds+round)*much/(conns*rounds)
			want[p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})] = before + much
			go func() {
				sent <- errors.Join(write(peer, before), unix.Sendto(peer, []byte("!"), unix.MSG_OOB, nil), write(peer, much))
			}()
			for _, c := range poll(t, p, dst, 0) {
				want[c.Token] -= c.N
				p.Release(c.Lease)
			}
		}
		for left := conns; left > 0; {
			left = 0
			for _, n := range want {
				if n > 0 {
					left++
				}
			}
			if left > 0 {
				for _, c := range poll(t, p, dst, backend.Forever) {
					if c.Err != nil {
						t.Fatal(c.Err)
					}
					want[c.Token] -= c.N
					p.Release(c.Lease)
				}
			}
		}
		for range conns {
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A connection is looked at once after data, and not again: one that is idle leaves the loop asleep. What is closed
// meanwhile is not looked at, nor is what has its number then taken for it.
func TestRechecksOnce(t *testing.T) {
	p := start(t, full, backend.Config{})
	dst := make([]backend.Completion, 8)
	idle, idlePeer := sockets(t)
	twin, closedPeer := sockets(t)
	closed, err := unix.FcntlInt(uintptr(twin), unix.F_DUPFD_CLOEXEC, 0) // which is the backend's to close
	if err != nil {
		t.Fatal(err)
	}
	receive := p.Submit(&backend.Op{Kind: backend.Recv, FD: idle, Multishot: true})
	p.Submit(&backend.Op{Kind: backend.Recv, FD: closed, Multishot: true})
	poll(t, p, dst, 0)
	unix.Write(idlePeer, []byte("x"))
	unix.Write(closedPeer, []byte("x"))
	for left := 2; left > 0; {
		for _, c := range poll(t, p, dst, backend.Forever) {
			p.Release(c.Lease)
			left--
		}
	}
	if n := p.recheck.fds.n; n != 2 {
		t.Fatalf("%d descriptors are to be looked at, want 2", n)
	}
	p.Submit(&backend.Op{Kind: backend.Close, FD: closed})
	for left := 2; left > 0; {
		left -= len(poll(t, p, dst, backend.Forever))
	}
	looked := 0
	countPolls(t, func(fds []unix.PollFd) error { looked += len(fds); return nil })
	for until := p.Now() + 10*time.Second; looked == 0 && p.Now() < until; {
		if got := poll(t, p, dst, p.Now()+recheckPeriod); len(got) > 0 {
			t.Fatalf("a completion of nothing: %+v", got)
		}
	}
	if got := poll(t, p, dst, p.Now()+4*recheckPeriod); len(got) > 0 { // and not again
		t.Fatalf("a completion of nothing: %+v", got)
	}
	if looked != 1 {
		t.Errorf("while nothing came the loop has looked at %d descriptors, want 1", looked)
	}
	if n := p.recheck.fds.n; n != 0 {
		t.Errorf("%d descriptors are yet to be looked at", n)
	}
	if at := p.nextRecheck(backend.Forever); at < p.recheck.allAt {
		t.Errorf("it wakes at %v for no descriptor", at)
	}
	unix.Write(idlePeer, []byte("x"))
	got := poll(t, p, dst, backend.Forever)
	if len(got) != 1 || got[0].Token != receive || !got[0].More {
		t.Errorf("what came later is %+v", got)
	}
	p.Release(got[0].Lease)
}

// A receive whose data waits to be collected is not begun anew.
func TestRechecksNoneThatIsBusy(t *testing.T) {
	p := start(t, full, backend.Config{})
	dst := make([]backend.Completion, 8)
	fd, peer := sockets(t)
	token := p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
	poll(t, p, dst, 0)
	for range 3 {
		unix.Write(peer, []byte("x"))
		for _, c := range poll(t, p, dst, backend.Forever) {
			p.Release(c.Lease)
		}
		ripen(p)
		unix.Write(peer, []byte("x"))
		p.recheckSome(p.Now())
		if o := p.table.Lookup(token); o.State&suspect == 0 || p.recheck.fds.n != 1 {
			t.Fatal("a receive with data is not suspected, or not to be looked at again")
		}
		for _, c := range poll(t, p, dst, backend.Forever) {
			p.Release(c.Lease)
		}
		if o := p.table.Lookup(token); o.State&suspect != 0 || p.ring.Pending() > 0 || !p.queue.empty() {
			t.Fatal("a receive that has reported its data is canceled")
		}
	}
}

// countPolls has the calls of poll(2) go through f while the test runs.
func countPolls(t testing.TB, f func(fds []unix.PollFd) error) {
	was := pollFDs
	pollFDs = func(fds []unix.PollFd, timeout int) (int, error) {
		if err := f(fds); err != nil {
			return 0, err
		}
		return was(fds, timeout)
	}
	t.Cleanup(func() { pollFDs = was })
}

// busyConnections gives that many connections on which data has come, which are to be looked at now.
func busyConnections(t testing.TB, p *proactor, n int) *waiters {
	w := newWaiters(t, p, n)
	w.submit(recvWays["multishot"])
	w.send()
	for dst := make([]backend.Completion, 256); w.missing() > 0; {
		w.note(poll(t, p, dst, backend.Forever))
	}
	if got := int(p.recheck.fds.n); got != n {
		t.Fatalf("%d of %d connections are to be looked at", got, n)
	}
	ripen(p)
	return w
}

// ripen makes it time to look at what is on the list.
func ripen(p *proactor) { p.recheck.at, p.recheck.ripe = p.Now(), p.recheck.fds.n }

// A turn makes one call of bounded size, and the rest is looked at in the turns after it, by a loop that waits and by one
// that never does.
func TestRechecksBatches(t *testing.T) {
	const n = 3*recheckBatch + 1
	for _, wait := range []bool{true, false} {
		p := start(t, full, backend.Config{})
		w := busyConnections(t, p, n)
		calls, looked := 0, 0
		countPolls(t, func(fds []unix.PollFd) error {
			calls++
			if looked += len(fds); len(fds) > recheckBatch {
				t.Errorf("%d descriptors in one call", len(fds))
			}
			return nil
		})
		dst := make([]backend.Completion, 8)
		for i := 0; looked < n; i++ {
			if wait {
				unix.Write(w.peers[n-1], []byte("x")) // for the turn to return
			}
			before := calls
			until := time.Duration(0)
			if wait {
				until = backend.Forever
			}
			for _, c := range poll(t, p, dst, until) {
				p.Release(c.Lease)
			}
			if calls > before+1 {
				t.Errorf("%d calls of poll(2) in a turn", calls-before)
			}
			if i > 5*recheckTurns {
				t.Fatalf("%d of %d connections were looked at in %d turns", looked, n, i)
			}
		}
		if calls != 4 {
			t.Errorf("%d calls for %d descriptors", calls, n)
		}
	}
}

// All receives are looked at now and then, data or not.
func TestRechecksAll(t *testing.T) {
	p := start(t, full, backend.Config{})
	w := newWaiters(t, p, recheckBatch+100)
	w.submit(recvWays["multishot"])
	dst := make([]backend.Completion, 256)
	for poll(t, p, dst, p.Now()+time.Millisecond); !p.queue.empty(); {
		poll(t, p, dst, 0)
	}
	for token := range w.which {
		missAll(t, p, token)
	}
	p.recheck.allAt = p.Now()
	w.send()
	for w.missing() > 0 {
		w.note(poll(t, p, dst, backend.Forever))
	}
	if next := p.recheck.allAt - p.Now(); next <= 0 || next > recheckAll {
		t.Errorf("the next time is in %v", next)
	}
}

// A socket whose urgent mark is ahead is looked at until it is passed.
func TestRechecksUntilMark(t *testing.T) {
	p := start(t, full, backend.Config{})
	dst := make([]backend.Completion, 8)
	fd, peer := tcpPair(t)
	token := p.Submit(&backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
	poll(t, p, dst, 0)
	missAll(t, p, token)
	poll(t, p, dst, 0)
	p.recheckLater(p.table.FD(fd))
	put(t, peer, "!", unix.MSG_OOB)
	for range 3 {
		ripen(p)
		if p.recheckSome(p.Now()); p.recheck.fds.n != 1 || !p.cancels.empty() {
			t.Fatalf("%d descriptors to be looked at, want 1", p.recheck.fds.n)
		}
	}
	put(t, peer, "x", 0)
	got := poll(t, p, dst, backend.Forever)
	if len(got) != 1 || got[0].N != 1 || got[0].Err != nil {
		t.Fatalf("%+v", got)
	}
	p.Release(got[0].Lease)
	for range 2 {
		ripen(p)
		p.recheckSome(p.Now())
	}
	if n := p.recheck.fds.n; n != 0 {
		t.Errorf("%d descriptors to be looked at behind the mark", n)
	}
}

// What poll(2) could not tell is asked again.
func TestRecheckFails(t *testing.T) {
	const n = recheckBatch + 100
	p := start(t, full, backend.Config{})
	w := busyConnections(t, p, n)
	for token := range w.which {
		missAll(t, p, token)
	}
	clear(w.data)
	w.send()
	fails := 0
	countPolls(t, func(fds []unix.PollFd) error {
		switch fails++; {
		case fails < 4:
			return unix.EINTR
		case len(fds) > 16:
			return unix.ENOMEM
		}
		return nil
	})
	for dst := make([]backend.Completion, 256); w.missing() > 0; {
		w.note(poll(t, p, dst, backend.Forever))
	}
}
