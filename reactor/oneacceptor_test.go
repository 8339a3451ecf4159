package reactor

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/testenv"
)

// connsOf is how many connections each loop of a server has; listeners do not count.
func connsOf(t testing.TB, s *served) (list []int) {
	listener := 1 // of the first loop
	for _, stats := range s.stats(t) {
		list = append(list, stats.Conns-listener)
		listener = 0
	}
	return list
}

func sum(list []int) (n int) {
	for _, v := range list {
		n += v
	}
	return n
}

// One acceptor spreads connections evenly that come one after another, and goes on doing so when some have gone.
func TestOneAcceptorSpreads(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			const loops, conns = 3, 60
			s := start(t, name, serve, echoOnceOr(form, echo), WithLoops(loops), WithOneAcceptor())
			var clients []*net.TCPConn
			for range conns {
				c := s.dial(t)
				ask(t, c, "ping")
				clients = append(clients, c)
			}
			even := func(when string, want, most int) {
				t.Helper()
				var list []int
				if !eventually(func() bool { list = connsOf(t, s); return sum(list) == want }) {
					t.Errorf("%s, %s: there are %d connections, want %d", form, when, sum(list), want)
				}
				if d := slices.Max(list) - slices.Min(list); d > most {
					t.Errorf("%s, %s: the loops have %v connections", form, when, list)
				}
			}
			even("one after another", conns, 2)

			for _, c := range clients {
				if c.LocalAddr().(*net.TCPAddr).Port%2 == 0 { // which are of any loop
					c.Close()
				}
			}
			clients = slices.DeleteFunc(clients, func(c *net.TCPConn) bool { return c.LocalAddr().(*net.TCPAddr).Port%2 == 0 })
			if !eventually(func() bool { return sum(connsOf(t, s)) == len(clients) }) {
				t.Errorf("%s: there are %d connections, want %d", form, sum(connsOf(t, s)), len(clients))
			}
			for range conns {
				c := s.dial(t)
				ask(t, c, "ping")
				clients = append(clients, c)
			}
			even("when some have gone", len(clients), 2)
			must(t, form, s.stop(t))
		}
	})
}

// The same when they are there before the acceptor is: all of them come out of one turn, or few.
func TestOneAcceptorSpreadsABurst(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form := range serves {
			const loops, conns = 3, 300
			g := testGroup(t, name, loops, WithOneAcceptor())
			serve, handle := g.Serve, echo
			if form == "Handle" {
				serve, handle = g.Handle, echoOnce
			}
			addr, err := serve(context.Background(), "tcp", "127.0.0.1:0", handle)
			must(t, form, err)
			s := &served{Listening: Listening{Addr: addr, Stats: g.Stats}, address: addr.String()}
			var clients []net.Conn
			for range conns {
				clients = append(clients, s.dial(t))
			}
			ctx, cancel := context.WithCancelCause(context.Background())
			s.end, s.result = cancel, make(chan error, 1)
			go func() { s.result <- runGroup(t, g, ctx) }()
			for _, c := range clients {
				c.Write([]byte("x"))
			}
			for i, c := range clients {
				if second(io.ReadFull(c, make([]byte, 1))) != nil {
					t.Fatalf("%s: connection %d of a burst is lost", form, i)
				}
			}
			list := connsOf(t, s)
			accepted := uint64(0)
			for _, stats := range s.stats(t) {
				accepted += stats.Accepted
			}
			if sum(list) != conns || accepted != conns {
				t.Errorf("%s: %v connections, and %d accepted, of %d", form, list, accepted, conns)
			}
			if d := slices.Max(list) - slices.Min(list); d > conns/20 {
				t.Errorf("%s: the loops have %v connections", form, list)
			}
			wantErr(t, "Run", s.stop(t), context.Canceled)
		}
	})
}

// The handlers of a burst's connections all run, on all loops, and every connection gets its answer and its end.
func TestOneAcceptorServesABurst(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			const loops, clients, each = 3, 8, 50
			s := start(t, name, serve, echoOnce, WithLoops(loops), WithOneAcceptor())
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for range each / 10 {
						var burst []net.Conn
						for range 10 {
							c, err := net.Dial("tcp", s.address)
							if err != nil {
								t.Error(err)
								return
							}
							c.SetDeadline(time.Now().Add(limit))
							burst = append(burst, c)
						}
						for _, c := range burst {
							if c.Write([]byte("x")); second(io.ReadFull(c, make([]byte, 1))) != nil {
								t.Errorf("%s: a connection got no answer", form)
							}
							c.Close()
						}
					}
				})
			}
			wg.Wait()
			accepted := uint64(0)
			for i, stats := range s.stats(t) {
				accepted += stats.Accepted
				if stats.Accepted == 0 {
					t.Errorf("%s: loop %d has served none", form, i)
				}
			}
			if accepted != clients*each {
				t.Errorf("%s: %d of %d connections were accepted", form, accepted, clients*each)
			}
			if !eventually(func() bool { return sum(connsOf(t, s)) == 0 }) {
				t.Errorf("%s: %v connections are left", form, connsOf(t, s))
			}
			must(t, form, s.stop(t))
		}
	})
}

// The servers of a group take turns to have their acceptor on each loop.
func TestOneAcceptorForEachServer(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 3, WithOneAcceptor())
		for range 4 {
			must(t, "Serve", second(g.Serve(context.Background(), "tcp", "127.0.0.1:0", echo)))
		}
		var list []int
		for _, l := range g.loops {
			list = append(list, len(l.listeners))
		}
		if !slices.Equal(list, []int{2, 1, 1}) {
			t.Errorf("the loops have %v listeners", list)
		}
		must(t, "Close", g.Close())
	})
}

// block keeps a loop from turning until release is called.
func block(t testing.TB, l *Loop) (release func()) {
	t.Helper()
	begun, end := make(chan bool), make(chan bool)
	must(t, "Post", l.Post(func() { close(begun); <-end }))
	<-begun
	return func() { close(end) }
}

// start2 starts a group of two loops of which the first one accepts.
func start2(t testing.TB, name, form string, opts ...Option) (*Group, *served) {
	t.Helper()
	g := testGroup(t, name, 2, append([]Option{WithOneAcceptor()}, opts...)...)
	serve, handle := g.Serve, echo
	if form == "Handle" {
		serve, handle = g.Handle, echoOnce
	}
	addr, err := serve(context.Background(), "tcp", "127.0.0.1:0", handle)
	must(t, form, err)
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &served{Listening: Listening{Addr: addr, Stats: g.Stats}, address: addr.String(), end: cancel}
	s.result = make(chan error, 1)
	go func() { s.result <- runGroup(t, g, ctx) }()
	return g, s
}

// However the group ends, the descriptors that are on their way to a loop meanwhile are closed.
func TestOneAcceptorEndsMeanwhile(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		broken := errors.New("broken")
		for how, want := range map[string]error{
			"context":     context.Canceled,
			"panic there": nil,
			"panic":       nil,
			"backend":     broken,
		} {
			for form := range serves {
				g, s := start2(t, name, form)
				release := block(t, g.loops[1])
				var clients []net.Conn
				for range 20 {
					clients = append(clients, s.dial(t))
				}
				lane := g.servers[0].lanes[1]
				if !eventually(func() bool {
					lane.mu.Lock()
					defer lane.mu.Unlock()
					return len(lane.fds) > 0
				}) {
					t.Errorf("%s, %s: nothing is on its way", form, how)
				}
				spy := spyOn(g.loops[1])
				switch how {
				case "context":
					s.end(nil)
					if !eventually(func() bool { return g.loops[0].state.Load() == ended }) {
						t.Errorf("%s, %s: the acceptor does not end", form, how)
					}
				case "panic there":
					must(t, "Post", g.loops[1].Post(func() { panicking(how) }))
				case "panic":
					must(t, "Post", g.loops[0].Post(func() { panicking(how) }))
				case "backend":
					spy.counts(func() { spy.pollErr = broken })
				}
				release()
				err := s.wait(t)
				if want != nil {
					wantErr(t, form+", "+how, err, want)
				} else {
					wantPanic(t, err, how)
				}
				for _, c := range clients {
					if _, err := c.Read(make([]byte, 1)); err == nil {
						t.Errorf("%s, %s: a connection is still open", form, how)
					}
					c.Close()
				}
			}
		}
	})
}

// What comes after a loop's backend has broken is closed, too, and so is what waits for Accept when it does.
func TestOneAcceptorBrokenLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		broken := errors.New("broken")
		l := testLoop(t, name)
		g := &Group{loops: []*Loop{l}}
		v := newLane(&server{group: g}, l)
		var ours, theirs int
		err := runLoop(t, l, func(task Task) error {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			for range 3 {
				peer, err := net.Dial("tcp", ln.Addr().String())
				must(t, "Dial", err)
				defer peer.Close()
			}
			must(t, "AcceptConn", second(ln.AcceptConn()))
			when(t, task, "connections wait for Accept", func() bool { return ln.pending.n > 0 })
			ours, theirs = newPipe(t)
			s := spyOn(l)
			s.counts(func() { s.pollErr = broken })
			task.Go(func(task Task) error {
				defer func() { // in the course of ending
					if !v.send(ours) {
						t.Error("the loop has ended already")
					}
				}()
				return task.Sleep(time.Hour)
			})
			return nil
		})
		wantErr(t, "Run", err, broken)
		if _, err := unix.Write(theirs, []byte("x")); err != unix.EPIPE {
			t.Errorf("the descriptor on its way is open: Write says %v", err)
		}
		unix.Close(theirs)
	})
}

// A loop that takes nothing more loses no connection: the acceptor's own loop serves it.
func TestOneAcceptorServesWhatOthersRefuse(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for form := range serves {
			g, s := start2(t, name, form)
			first, second := g.loops[0], g.loops[1]

			release := block(t, second)
			for second.Post(func() {}) == nil {
			}
			for range 5 {
				ask(t, s.dial(t), "full")
			}
			lane := g.servers[0].lanes[1]
			ours, theirs := newPipe(t)
			if lane.send(ours) {
				t.Errorf("%s: a loop with full posts takes a descriptor", form)
			}
			release()
			unix.Close(ours)
			unix.Close(theirs)
			if !eventually(func() bool { return !second.posts.pending() }) {
				t.Errorf("%s: the posts are not run", form)
			}

			second.posts.mu.Lock()
			second.posts.closed.Store(true) // as at its end
			second.posts.mu.Unlock()
			for range 5 {
				ask(t, s.dial(t), "closed")
			}
			answer := make(chan Stats, 1)
			must(t, "Post", first.Post(func() { answer <- first.Stats() }))
			if stats := <-answer; stats.Accepted != 10 {
				t.Errorf("%s: the acceptor has served %d of 10", form, stats.Accepted)
			}
			wantErr(t, "Run", s.stop(t), context.Canceled)
		}
	})
}

// A slow loop gets what it can take in the end, in order, and the others go on meanwhile.
func TestOneAcceptorWithASlowLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g, s := start2(t, name, "Serve")
		release := block(t, g.loops[1])
		var answered atomic.Int32
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				c, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(limit))
				if c.Write([]byte("x")); second(io.ReadFull(c, make([]byte, 1))) != nil {
					t.Error("a connection got no answer")
				}
				answered.Add(1)
			})
		}
		if !eventually(func() bool { return answered.Load() >= 10 }) {
			t.Errorf("%d connections were answered beside the slow loop", answered.Load())
		}
		release()
		wg.Wait()
		wantErr(t, "Run", s.stop(t), context.Canceled)
	})
}

// A connection allocates nothing on its way to another loop either, once the pools are warm.
func TestOneAcceptorAllocatesNothing(t *testing.T) {
	undebugged(t)
	if testenv.Race {
		return // the race detector allocates
	}
	eachDriver(t, func(t *testing.T, name string) {
		for form, serve := range serves {
			s := start(t, name, serve, echoOnceOr(form, echo), WithLoops(2), WithOneAcceptor())
			c := newClient(t, s.Addr, 64)
			visit := func() {
				c.connect()
				c.ask()
				c.close()
			}
			for range 300 {
				visit()
			}
			before := s.stats(t)[1].Accepted
			if n := allocsPer(500, visit); n > perAccept+few {
				t.Errorf("%s: %v allocations for each connection", form, n)
			}
			if s.stats(t)[1].Accepted == before {
				t.Errorf("%s: no connection went to the other loop", form)
			}
			must(t, form, s.stop(t))
		}
	})
}
