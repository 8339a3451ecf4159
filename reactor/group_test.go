package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/testenv"
)

// groupStats asks the group's loops for their Stats.
func groupStats(t testing.TB, g *Group) []Stats {
	t.Helper()
	all, err := g.Stats(context.Background())
	must(t, "Stats", err)
	return all
}

// testGroup makes a group for a test.
func testGroup(t testing.TB, name string, loops int, opts ...Option) *Group {
	t.Helper()
	g, err := NewGroup(append([]Option{WithBackend(name), WithLoops(loops)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// runGroup runs a group until ctx ends, which is soon.
func runGroup(t testing.TB, g *Group, ctx context.Context) error {
	t.Helper()
	watchdog := time.AfterFunc(limit, func() {
		debug.SetTraceback("all")
		panic(t.Name() + " hangs: Run has not returned")
	})
	defer watchdog.Stop()
	return g.Run(ctx)
}

// rested waits until all the loops but these rest.
func rested(g *Group, but ...*Loop) bool {
	return eventually(func() bool {
		for _, l := range g.loops {
			if !l.resting.Load() && (len(but) == 0 || l != but[0]) {
				return false
			}
		}
		return true
	})
}

// Run ends when no task is left on any loop, and not before.
func TestGroupRunUntilNoTaskIsLeft(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, loops := range []int{1, 2, 5} {
			must(t, "Run without a task", runGroup(t, testGroup(t, name, loops), context.Background()))

			g := testGroup(t, name, loops)
			var ended atomic.Int32
			for i, l := range g.Loops() {
				must(t, "Go", l.Go(func(task Task) error {
					defer ended.Add(1)
					task.Go(func(task Task) error {
						defer ended.Add(1)
						return task.Sleep(time.Duration(i) * 300 * time.Microsecond)
					})
					return nil
				}))
			}
			must(t, "Run", runGroup(t, g, context.Background()))
			if ended.Load() != int32(2*loops) {
				t.Errorf("%d of %d tasks have ended", ended.Load(), 2*loops)
			}
		}
	})
}

// A loop that has rested long since still serves what another one gives it, and so does the other one in turn.
func TestGroupWakesARestingLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 3)
		first, second, third := g.loops[0], g.loops[1], g.loops[2]
		var order []string // what one does comes before what it causes
		must(t, "Go", first.Go(func(task Task) error {
			when(t, task, "the others rest", func() bool { return second.resting.Load() && third.resting.Load() })
			order = append(order, "first")
			return second.Go(func(task Task) error {
				when(t, task, "the others rest", func() bool { return first.resting.Load() && third.resting.Load() })
				order = append(order, "second")
				return third.Post(func() {
					order = append(order, "third")
					must(t, "Post", first.Post(func() { order = append(order, "first again") }))
				})
			})
		}))
		must(t, "Run", runGroup(t, g, context.Background()))
		if got := strings.Join(order, ", "); got != "first, second, third, first again" {
			t.Errorf("what was done is: %s", got)
		}
	})
}

// A resting loop sleeps: the others' work does not keep it turning.
func TestGroupRestIsIdle(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 2)
		polls := func() (n int) {
			s := spyOn(g.loops[1])
			s.counts(func() { n = s.polls })
			return n
		}
		must(t, "Go", g.loops[0].Go(func(task Task) error {
			when(t, task, "the other rests", func() bool { return g.loops[1].resting.Load() && polls() > 0 })
			before := polls()
			for range 200 {
				must(t, "Yield", task.Yield())
			}
			if n := polls() - before; n > 3 {
				t.Errorf("the loop that rests has polled %d times", n)
			}
			return nil
		}))
		must(t, "Run", runGroup(t, g, context.Background()))
	})
}

// Chains of posts hop from loop to loop, each as long as it is meant to be, and Run ends right after the last hop.
func TestGroupPostsHop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		rounds := 40
		if testenv.Race {
			rounds = 15
		}
		for round := range rounds {
			loops := 2 + round%3
			g := testGroup(t, name, loops)
			chains, hops := 1+round%4, 100
			var hopped atomic.Int64
			for c := range chains {
				random := rand.New(rand.NewPCG(uint64(round), uint64(c)))
				var hop func(left int) func()
				hop = func(left int) func() {
					return func() {
						hopped.Add(1)
						if left == 0 {
							return
						}
						to := g.loops[random.IntN(loops)]
						var err error
						switch random.IntN(3) {
						case 0:
							err = to.Post(hop(left - 1))
						case 1:
							err = to.Go(func(Task) error { hop(left - 1)(); return nil })
						case 2:
							err = to.Go(func(task Task) error {
								defer hop(left - 1)()
								return task.Yield()
							})
						}
						if err != nil {
							t.Errorf("round %d, chain %d, with %d to go: %v", round, c, left, err)
						}
					}
				}
				must(t, "Post", g.loops[c%loops].Post(hop(hops-1)))
			}
			must(t, "Run", runGroup(t, g, context.Background()))
			if want := int64(chains * hops); hopped.Load() != want {
				t.Fatalf("round %d: %d of %d hops", round, hopped.Load(), want)
			}
		}
	})
}

// What comes while a loop looks whether all is over, between its two looks, keeps the group going.
func TestGroupLooksTwice(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 2)
		first, second := g.loops[0], g.loops[1]
		locked, unlocked := make(chan bool), make(chan bool)
		done := false
		must(t, "Go", first.Go(func(task Task) error {
			off(t, task, func() { <-locked })
			return nil
		}))
		go func() {
			if !rested(g, first) {
				t.Error("the second loop does not rest")
			}
			g.mu.Lock()
			close(locked)
			if !rested(g) {
				t.Error("the first loop does not rest")
			}
			time.Sleep(time.Millisecond) // for it to have looked once
			begun := make(chan bool)
			must(t, "Go", second.Go(func(task Task) error {
				close(begun)
				off(t, task, func() { <-unlocked })
				if err := first.Post(func() { done = true }); err != nil {
					t.Errorf("the group ended meanwhile: %v", err)
				}
				return nil
			}))
			<-begun
			g.mu.Unlock()
			time.Sleep(time.Millisecond)
			close(unlocked)
		}()
		must(t, "Run", runGroup(t, g, context.Background()))
		if !done {
			t.Error("what was posted is lost")
		}
	})
}

// Short groups, over and over: whichever of the loops comes to rest last, all of them end.
func TestGroupEndsTogether(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		rounds := 100
		if testenv.Race {
			rounds = 30
		}
		for round := range rounds {
			g := testGroup(t, name, 4)
			for i, l := range g.loops {
				other := g.loops[(i+1)%len(g.loops)]
				must(t, "Go", l.Go(func(task Task) error {
					for range (i*7 + round) % 5 {
						task.Yield()
					}
					return other.Post(func() {})
				}))
			}
			must(t, "Run", runGroup(t, g, context.Background()))
		}
	})
}

// Other goroutines post while the group comes to its end: what was taken is run, and what was refused is not.
func TestGroupPostAroundTheEnd(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for round := range 12 {
			g := testGroup(t, name, 3)
			ctx, cancel := context.WithCancel(context.Background())
			must(t, "Go", g.loops[1].Go(func(task Task) error {
				defer func() {
					if round%3 == 1 {
						cancel()
					}
				}()
				if err := task.Sleep(time.Duration(round) * 30 * time.Microsecond); err != nil || round%3 != 2 {
					return err
				}
				panic("end")
			}))
			var taken, ran atomic.Int64
			var wg sync.WaitGroup
			for p := range 3 {
				wg.Go(func() {
					for i := 0; ; i++ {
						var err error
						if to := g.loops[(i+p)%3]; i%2 == 0 {
							err = to.Post(func() { ran.Add(1) })
						} else {
							err = to.Go(func(task Task) error { ran.Add(1); return task.Yield() })
						}
						switch err {
						case nil:
							taken.Add(1)
						case ErrLoopEnded:
							return
						default:
							t.Errorf("Post: %v", err)
							return
						}
						time.Sleep(time.Duration(20+10*p) * time.Microsecond)
					}
				})
			}
			err := runGroup(t, g, ctx)
			wg.Wait()
			cancel()
			var p *PanicError
			if err != nil && err != context.Canceled && !errors.As(err, &p) {
				t.Errorf("Run: %v", err)
			}
			if ran.Load() != taken.Load() {
				t.Errorf("round %d: %d were taken and %d run", round, taken.Load(), ran.Load())
			}
		}
	})
}

// Once all loops have rested, no task begins any more that could meet loops that have ended.
func TestGroupRefusesOnceItIsOver(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for range 30 {
			g := testGroup(t, name, 3)
			var wg sync.WaitGroup
			var bad atomic.Pointer[error]
			for i, l := range g.loops {
				wg.Go(func() {
					hop := func() error {
						return g.loops[(i+1)%3].Post(func() {})
					}
					for {
						err := l.Go(func(task Task) error {
							if err := task.Yield(); err != nil {
								bad.Store(&err)
							}
							if err := hop(); err != nil {
								bad.Store(&err)
							}
							return nil
						})
						if err != nil {
							return
						}
						time.Sleep(100 * time.Microsecond)
					}
				})
			}
			err := runGroup(t, g, context.Background())
			wg.Wait()
			must(t, "Run", err)
			if err := bad.Load(); err != nil {
				t.Fatalf("a task began among loops that have ended: %v", *err)
			}
		}
	})
}

// uncomparable is an error that == panics at.
type uncomparable []string

func (e uncomparable) Error() string { return strings.Join(e, ", ") }

// When the context ends so do all the loops' tasks, and Run returns the cause, whatever its type.
func TestGroupContextEndsRun(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, cause := range []error{errors.New("enough"), uncomparable{"this", "that"}} {
			ctx, cancel := context.WithCancelCause(context.Background())
			g := testGroup(t, name, 3)
			var canceled, waiting atomic.Int32
			for _, l := range g.loops[:2] { // the third rests
				must(t, "Go", l.Go(func(task Task) error {
					waiting.Add(1)
					err := task.Sleep(time.Hour)
					wantErr(t, "Sleep", err, ErrCanceled)
					canceled.Add(1)
					return err
				}))
			}
			go func() {
				eventually(func() bool { return waiting.Load() == 2 && g.loops[2].resting.Load() })
				cancel(cause)
			}()
			if err := runGroup(t, g, ctx); err == nil || err.Error() != cause.Error() {
				t.Errorf("Run: %v, want %v", err, cause)
			}
			if canceled.Load() != 2 {
				t.Errorf("%d of 2 tasks were canceled", canceled.Load())
			}

			g = testGroup(t, name, 2) // a context that has ended before
			must(t, "Go", g.Go(func(task Task) error { wantErr(t, "Sleep", task.Sleep(time.Hour), ErrCanceled); return nil }))
			if err := runGroup(t, g, ctx); err == nil || err.Error() != cause.Error() {
				t.Errorf("Run: %v, want %v", err, cause)
			}
		}
	})
}

// A panic on one loop ends the others, those that rest too, and is what Run returns, once.
func TestGroupPanic(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, in := range []string{"task", "post"} {
			g := testGroup(t, name, 4)
			var canceled atomic.Int32
			for _, l := range g.loops[:2] {
				must(t, "Go", l.Go(func(task Task) error {
					defer canceled.Add(1)
					return task.Sleep(time.Hour)
				}))
			}
			must(t, "Go", g.loops[2].Go(func(task Task) error {
				when(t, task, "the last one rests", g.loops[3].resting.Load)
				if in == "task" {
					panicking(in)
				}
				must(t, "Post", task.Loop().Post(func() { panicking(in) }))
				return task.Sleep(time.Hour)
			}))
			err := runGroup(t, g, context.Background())
			wantPanic(t, err, in)
			if n := strings.Count(err.Error(), "reactor: panic: "); n != 1 {
				t.Errorf("the panic is told %d times:\n%v", n, err)
			}
			if canceled.Load() != 2 {
				t.Errorf("%d of 2 tasks of other loops have ended", canceled.Load())
			}
		}
	})
}

// A backend that breaks, or does not start, ends the group with its error.
func TestGroupBackendBreaks(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		broken := errors.New("broken")
		for _, start := range []bool{true, false} {
			g := testGroup(t, name, 3)
			s := spyOn(g.loops[1])
			var ended atomic.Int32
			for _, l := range g.loops[1:] {
				must(t, "Go", l.Go(func(task Task) error {
					defer ended.Add(1)
					task.Sleep(5 * time.Millisecond)
					if l == g.loops[1] {
						s.counts(func() { s.pollErr = broken })
					}
					return task.Sleep(time.Hour)
				}))
			}
			want := int32(2)
			if !start {
				s.startErr = broken
				want = 1
			}
			wantErr(t, "Run", runGroup(t, g, context.Background()), broken)
			if ended.Load() != want {
				t.Errorf("%d of %d tasks have ended", ended.Load(), want)
			}
		}
	})
}

// What a task returns is told when the group ends, as by a loop, and ends nothing; of several loops, all of it.
func TestGroupTaskErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, errs := range [][2]error{
			{errors.New("one"), errors.New("two")},
			{uncomparable{"one"}, uncomparable{"two"}},
			{uncomparable{"one"}, io.EOF},
		} {
			g := testGroup(t, name, 3)
			over := false
			for i, err := range errs {
				must(t, "Go", g.loops[i].Go(func(Task) error { return err }))
			}
			must(t, "Go", g.loops[2].Go(func(task Task) error {
				when(t, task, "the others rest", func() bool { return g.loops[0].resting.Load() && g.loops[1].resting.Load() })
				over = true
				return nil
			}))
			err := runGroup(t, g, context.Background())
			if !over {
				t.Error("an error of a task has ended another loop's")
			}
			for _, want := range errs {
				if want != io.EOF && (err == nil || strings.Count(err.Error(), want.Error()) != 1) {
					t.Errorf("Run: %v, which does not tell once of %v", err, want)
				}
			}
		}
	})
}

// With WithErrors they go there, from all loops.
func TestGroupWithErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var seen atomic.Int32
		g := testGroup(t, name, 3, WithErrors(func(error) { seen.Add(1) }))
		for _, l := range g.loops {
			must(t, "Go", l.Go(func(Task) error { return errors.New("trouble") }))
		}
		must(t, "Run", runGroup(t, g, context.Background()))
		if seen.Load() != 3 {
			t.Errorf("WithErrors saw %d of 3", seen.Load())
		}
	})
}

// A group runs once. Its loops' own Run and Close are its.
func TestGroupRunTwice(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx := context.Background()
		g := testGroup(t, name, 2)
		must(t, "Go", g.Go(func(Task) error {
			wantErr(t, "Run while it runs", g.Run(ctx), ErrLoopRunning)
			must(t, "Close while it runs", g.Close())
			for _, l := range g.Loops() {
				wantErr(t, "the loop's Run while it runs", l.Run(ctx), errGroups)
				must(t, "the loop's Close while it runs", l.Close())
			}
			_, err := g.Serve(ctx, "tcp", "127.0.0.1:0", echo)
			wantErr(t, "Serve while it runs", err, ErrLoopRunning)
			return nil
		}))
		var no context.Context
		if err := g.Run(no); !errors.Is(err, errNoContext) {
			t.Errorf("Run without a context: %v", err)
		}
		for _, l := range g.Loops() {
			wantErr(t, "the loop's Run", l.Run(ctx), errGroups)
			must(t, "the loop's Close", l.Close())
		}
		must(t, "Run", runGroup(t, g, ctx))
		wantErr(t, "Run after it ran", g.Run(ctx), ErrLoopEnded)
		must(t, "Close after it ran", g.Close())
		wantErr(t, "Go after it ran", g.Go(func(Task) error { return nil }), ErrLoopEnded)
		_, err := g.Handle(ctx, "tcp", "127.0.0.1:0", echo)
		wantErr(t, "Handle after it ran", err, ErrLoopRunning)
	})
}

func TestGroupClose(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx := context.Background()
		g := testGroup(t, name, 3)
		must(t, "Go", g.Go(func(Task) error { t.Error("it ran, though closed"); return nil }))
		addr, err := g.Serve(ctx, "tcp", "127.0.0.1:0", echo)
		must(t, "Serve", err)
		must(t, "Close", g.Close())
		must(t, "Close, again", g.Close())
		wantErr(t, "Run", g.Run(ctx), ErrLoopEnded)
		wantErr(t, "Go", g.Go(func(Task) error { return nil }), ErrLoopEnded)
		_, err = g.Serve(ctx, "tcp", "127.0.0.1:0", echo)
		wantErr(t, "Serve", err, ErrLoopRunning)
		if _, err := net.Dial("tcp", addr.String()); err == nil {
			t.Error("the port is still open")
		}
	})
}

// A group that is dropped without Run or Close leaves no backend, once the garbage collector has seen that.
func TestDroppedGroup(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 3)
		var list []*spy
		for _, l := range g.loops {
			list = append(list, spyOn(l))
		}
		g = nil
		closed := 0
		for try := 0; try < 100 && closed < len(list); try++ {
			runtime.GC()
			time.Sleep(time.Millisecond)
			closed = 0
			for _, s := range list {
				s.counts(func() {
					if s.closed {
						closed++
					}
				})
			}
		}
		if closed < len(list) {
			t.Errorf("%d of %d backends were closed", closed, len(list))
		}
	})
}

// How many loops there may be, and that New makes one.
func TestGroupLoopCount(t *testing.T) {
	leavesNothing(t)
	for _, n := range []int{-1, 0, maxLoops + 1} {
		if _, err := NewGroup(WithLoops(n)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("WithLoops(%d)", n)) {
			t.Errorf("NewGroup(WithLoops(%d)): error %v", n, err)
		}
	}
	for _, n := range []int{-1, 0, 2} {
		if _, err := New(WithLoops(n)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("WithLoops(%d)", n)) {
			t.Errorf("New(WithLoops(%d)): error %v", n, err)
		}
	}
	l, err := New(WithBackend("select"), WithLoops(1))
	must(t, "New(WithLoops(1))", err)
	must(t, "Close", l.Close())
	g, err := NewGroup(WithBackend("select"))
	must(t, "NewGroup()", err)
	if n := len(g.Loops()); n != 1 {
		t.Errorf("a group has %d loops by default, want 1", n)
	}
	g.Loops()[0] = nil // the slice is the caller's
	must(t, "Run", runGroup(t, g, context.Background()))
}

// A time below zero is an error that names its option.
func TestNegativeTimes(t *testing.T) {
	leavesNothing(t)
	for name, opt := range map[string]Option{
		"WithLinger(-1s)":    WithLinger(-time.Second),
		"WithBusyPoll(-1ns)": WithBusyPoll(-1),
	} {
		for what, err := range map[string]error{
			"New":      second(New(opt)),
			"NewGroup": second(NewGroup(opt)),
			"Serve":    Serve(context.Background(), "tcp", "127.0.0.1:0", echo, opt),
		} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s(%s): error %v", what, name, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Go chooses the loop that has least: by tasks, by connections, and by what is posted and not yet run.
func TestGroupGoTakesTheLeastLoaded(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const loops, each = 3, 10
		g := testGroup(t, name, loops)
		var where [loops]atomic.Int32
		var begun atomic.Int32
		ctx, cancel := context.WithCancel(context.Background())
		wait := func(task Task) error {
			for i, l := range g.loops {
				if task.Loop() == l {
					where[i].Add(1)
				}
			}
			begun.Add(1)
			return task.Sleep(time.Hour)
		}
		want := func(when string, n int32) {
			t.Helper()
			for i := range where {
				if got := where[i].Load(); got != n {
					t.Errorf("%s: loop %d has %d tasks, want %d", when, i, got, n)
				}
			}
		}
		for range loops * each { // before it runs
			must(t, "Go", g.Go(wait))
		}
		result := make(chan error, 1)
		go func() { result <- runGroup(t, g, ctx) }()
		settled := func(n int32) bool {
			return eventually(func() bool {
				sum := int32(0)
				for _, l := range g.loops {
					sum += l.load()
				}
				return begun.Load() == n && sum == n
			})
		}
		if !settled(loops * each) {
			t.Error("they do not begin")
		}
		want("before Run", each)
		for n := range int32(loops * each) { // while it runs, one after the other
			must(t, "Go", g.Go(wait))
			if !settled(loops*each + n + 1) {
				t.Error("it does not begin")
			}
		}
		want("while it runs", 2*each)
		cancel()
		wantErr(t, "Run", <-result, context.Canceled)
	})
}

// A group has several servers of both forms, each on all its loops, next to tasks.
func TestGroupServers(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, opts := range [][]Option{nil, {WithOneAcceptor()}} {
			g := testGroup(t, name, 3, opts...)
			ctx, cancel := context.WithCancelCause(context.Background())
			var addrs []net.Addr
			for i := range 4 {
				serve, handle := g.Serve, func(c Conn) error {
					for {
						data, err := c.Next()
						if err != nil {
							return err
						}
						c.Write(append([]byte{'0' + byte(i)}, data[1:]...))
					}
				}
				if i%2 == 1 {
					serve, handle = g.Handle, func(c Conn) error {
						data, err := c.Next()
						if err != nil {
							return err
						}
						_, err = c.Write(append([]byte{'0' + byte(i)}, data[1:]...))
						return err
					}
				}
				addr, err := serve(ctx, "tcp", "127.0.0.1:0", handle)
				must(t, "Serve", err)
				addrs = append(addrs, addr)
			}
			var ticks atomic.Int32
			must(t, "Go", g.Go(func(task Task) error {
				for {
					ticks.Add(1)
					if err := task.Sleep(time.Millisecond); err != nil {
						return err
					}
				}
			}))
			result := make(chan error, 1)
			go func() { result <- runGroup(t, g, ctx) }()
			for range 5 {
				for i, addr := range addrs {
					c, err := net.Dial("tcp", addr.String())
					must(t, "Dial", err)
					c.SetDeadline(time.Now().Add(limit))
					if got, want := ask(t, c, "xyz"), fmt.Sprintf("%dyz", i); got != want {
						t.Errorf("server %d answers %q, want %q", i, got, want)
					}
					c.Close()
				}
			}
			if !eventually(func() bool { return ticks.Load() > 2 }) {
				t.Error("the task does not run")
			}
			accepted := uint64(0)
			for _, s := range groupStats(t, g) {
				accepted += s.Accepted
				if s.Lag <= 0 || s.Turns == 0 {
					t.Errorf("Stats: lag %v, %d turns", s.Lag, s.Turns)
				}
			}
			if accepted != 20 {
				t.Errorf("Stats tell of %d of 20 connections", accepted)
			}
			end := errors.New("end")
			cancel(end)
			if err := <-result; err != end {
				t.Errorf("Run: %v", err)
			}
			for _, addr := range addrs {
				if _, err := net.Dial("tcp", addr.String()); err == nil {
					t.Error("a port is still open")
				}
			}
			for _, s := range groupStats(t, g) { // of loops that have ended
				if s != (Stats{}) {
					t.Errorf("Stats after the end: %+v", s)
				}
			}
		}
	})
}

// What is wrong with a call of Serve is an error and leaves nothing; the group can have another server all the same.
func TestGroupServeErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		for _, opts := range [][]Option{nil, {WithOneAcceptor()}} {
			g := testGroup(t, name, 3, opts...)
			ctx, cancel := context.WithCancel(context.Background())
			busy, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			defer busy.Close()
			addr, err := g.Serve(ctx, "tcp", "127.0.0.1:0", echo)
			must(t, "Serve", err)
			before := descriptors()
			var no context.Context
			for what, err := range map[string]error{
				"no context": second(g.Serve(no, "tcp", "127.0.0.1:0", echo)),
				"no handler": second(g.Handle(ctx, "tcp", "127.0.0.1:0", nil)),
				"no port":    second(g.Serve(ctx, "tcp", "127.0.0.1", echo)),
				"no network": second(g.Handle(ctx, "udp", "127.0.0.1:0", echo)),
			} {
				if err == nil {
					t.Errorf("%s: no error", what)
				}
			}
			wantErr(t, "a busy port", second(g.Serve(ctx, "tcp", busy.Addr().String(), echo)), unix.EADDRINUSE)
			wantErr(t, "its own port", second(g.Handle(ctx, "tcp", addr.String(), echo)), unix.EADDRINUSE)
			if left := fresher(descriptors(), before); len(left) > 0 {
				t.Errorf("descriptors are left: %v", left)
			}
			for i, s := range groupStats(t, g) { // of a group that does not run
				if s != (Stats{}) {
					t.Errorf("Stats of loop %d before Run: %+v", i, s)
				}
			}
			must(t, "Serve", second(g.Serve(ctx, "tcp", "127.0.0.1:0", echo)))
			go func() {
				defer cancel()
				c, err := net.Dial("tcp", addr.String())
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(limit))
				if c.Write([]byte("x")); second(io.ReadFull(c, make([]byte, 1))) != nil {
					t.Error("no answer")
				}
			}()
			wantErr(t, "Run", runGroup(t, g, ctx), context.Canceled)
		}
	})
}

// A server is there even where a loop's posts were full before Run.
func TestGroupServeBesideFullPosts(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 2)
		for _, l := range g.loops {
			for l.Post(func() {}) == nil {
			}
		}
		wantErr(t, "Go", g.Go(func(Task) error { return nil }), ErrPostFull)
		ctx, cancel := context.WithCancel(context.Background())
		addr, err := g.Serve(ctx, "tcp", "127.0.0.1:0", echo)
		must(t, "Serve", err)
		go func() {
			defer cancel()
			for range 10 {
				c, err := net.Dial("tcp", addr.String())
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(limit))
				if c.Write([]byte("x")); second(io.ReadFull(c, make([]byte, 1))) != nil {
					t.Error("no answer")
				}
				c.Close()
			}
		}()
		wantErr(t, "Run", runGroup(t, g, ctx), context.Canceled)
	})
}

// Connections that tasks left open on a loop that rests stay until the group ends, and are closed then.
func TestGroupClosesWhatIsOpen(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 2)
		var peer *net.TCPConn
		left := make(chan bool)
		must(t, "Go", g.loops[0].Go(func(task Task) error {
			var c Conn
			c, peer = peered(t, task, ListenConfig{}, "127.0.0.1:0")
			c.Write([]byte("x"))
			close(left)
			return nil
		}))
		must(t, "Go", g.loops[1].Go(func(task Task) error {
			off(t, task, func() {
				<-left
				if !rested(g, g.loops[1]) {
					t.Error("the loop does not rest")
				}
				if got := second(io.ReadFull(peer, make([]byte, 1))); got != nil {
					t.Errorf("what was written: %v", got)
				}
				peer.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
				if _, err := peer.Read(make([]byte, 1)); err == io.EOF {
					t.Error("the connection is closed though the group runs")
				}
				peer.SetReadDeadline(time.Now().Add(limit))
			})
			return nil
		}))
		must(t, "Run", runGroup(t, g, context.Background()))
		if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection, once the group has ended: %v", err)
		}
	})
}

// A post to a loop that rests allocates nothing, on either loop, and leaves nobody looking in vain for the group's end.
func TestGroupPostAllocatesNothing(t *testing.T) {
	if testenv.Race {
		return // the race detector allocates
	}
	eachDriver(t, func(t *testing.T, name string) {
		const skip, hops = 500, 1000
		least := 1.0
		for try := 0; try < 5 && least > few; try++ {
			g := testGroup(t, name, 2)
			var before, after runtime.MemStats
			n := 0
			var hop func()
			hop = func() {
				switch n++; n {
				case skip:
					runtime.ReadMemStats(&before)
				case skip + hops:
					runtime.ReadMemStats(&after)
					return
				}
				if err := g.loops[n%2].Post(hop); err != nil {
					t.Errorf("Post: %v", err)
				}
			}
			must(t, "Post", g.loops[0].Post(hop))
			must(t, "Run", runGroup(t, g, context.Background()))
			least = min(least, float64(after.Mallocs-before.Mallocs)/hops)
		}
		if least > few {
			t.Errorf("%v allocations for each post", least)
		}
	})
}

// Tasks of one loop wait for what another loop gives them: a pipeline through all of them, many times.
func TestGroupHandsOver(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const loops, rounds = 3, 300
		g := testGroup(t, name, loops)
		sum := 0
		must(t, "Go", g.loops[0].Go(func(task Task) error {
			for i := range rounds {
				err := task.Await(&testEvent{register: func(r event.Reactor) error {
					r.Hold()
					var pass func(at int) func()
					pass = func(at int) func() {
						return func() {
							if at < loops {
								must(t, "Post", g.loops[at].Post(pass(at+1)))
								return
							}
							must(t, "Post", g.loops[0].Post(func() { sum += i; r.Ready(nil) }))
						}
					}
					return g.loops[1].Post(pass(2))
				}})
				must(t, "Await", err)
			}
			return nil
		}))
		must(t, "Run", runGroup(t, g, context.Background()))
		if want := rounds * (rounds - 1) / 2; sum != want {
			t.Errorf("the sum is %d, want %d", sum, want)
		}
	})
}

// A task that calls Goexit, and a posted function that does, end what they end on any loop, and leave the rest whole.
func TestGroupGoexit(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		g := testGroup(t, name, 3)
		for _, l := range g.loops {
			must(t, "Go", l.Go(func(task Task) error {
				if err := task.Yield(); err != nil {
					return err
				}
				runtime.Goexit()
				return errors.New("it went on")
			}))
		}
		must(t, "Run", runGroup(t, g, context.Background()))

		g = testGroup(t, name, 3)
		var ended atomic.Bool
		must(t, "Go", g.loops[0].Go(func(task Task) error {
			defer ended.Store(true)
			return task.Sleep(time.Hour)
		}))
		must(t, "Post", g.loops[2].Post(runtime.Goexit))
		wantErr(t, "Run", runGroup(t, g, context.Background()), errLoopGoexit)
		if !ended.Load() {
			t.Error("the task of another loop was left behind")
		}
	})
}

// A group that is dropped without Run or Close leaves no socket listening, and no file of one.
func TestGroupDropped(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		path := socketPath(t)
		addr := func() string {
			g, err := NewGroup(WithBackend(name), WithLoops(2))
			must(t, "NewGroup", err)
			addr, err := g.Serve(context.Background(), "tcp", ownHost+":0", func(Conn) error { return nil })
			must(t, "Serve", err)
			_, err = g.Serve(context.Background(), "unix", path, func(Conn) error { return nil })
			must(t, "Serve", err)
			return addr.String()
		}()
		gone := eventually(func() bool {
			runtime.GC()
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			_, missing := os.Stat(path)
			return errors.Is(err, unix.ECONNREFUSED) && os.IsNotExist(missing)
		})
		if !gone {
			t.Error("its sockets are still open")
		}
	})
}
