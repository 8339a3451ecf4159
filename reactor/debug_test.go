package reactor

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// reports keeps what debug mode finds.
type reports struct {
	mu   sync.Mutex
	list []DebugReport
}

func (r *reports) add(one DebugReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, one)
}

// of is those of a kind.
func (r *reports) of(kind DebugKind) []DebugReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.list), func(one DebugReport) bool { return one.Kind != kind })
}

// debugged runs body as the first task of a loop in debug mode, and returns what was found.
func debugged(t *testing.T, name string, hold time.Duration, body func(Task, *reports)) *reports {
	t.Helper()
	found := new(reports)
	run(t, name, func(task Task) { body(task, found) }, WithDebug(Debug{Hold: hold, Report: found.add}), WithLinger(0))
	return found
}

// holdHere holds the loop until that is reported.
func holdHere(t *testing.T, found *reports, n int) {
	if !eventually(func() bool { return len(found.of(LoopHeld)) >= n }) {
		t.Errorf("%d times the loop was held, and %d are reported", n, len(found.of(LoopHeld)))
	}
}

// Whatever holds a loop is reported, once, with its name and stack, while it does.
func TestDebugHeld(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		found := debugged(t, name, 3*time.Millisecond, func(task Task, found *reports) {
			holdHere(t, found, 1)
			time.Sleep(10 * time.Millisecond) // and no report again
			if n := len(found.of(LoopHeld)); n != 1 {
				t.Errorf("it is reported %d times", n)
			}
			task.SetName("holder")
			must(t, "Yield", task.Yield())
			holdHere(t, found, 2)
			posted := make(chan bool, 1)
			must(t, "Post", task.Loop().Post(func() { holdHere(t, found, 3); posted <- true }))
			must(t, "Sleep", task.Sleep(time.Millisecond))
			<-posted
			c := task.Go(func(task Task) error { holdHere(t, found, 4); return nil })
			when(t, task, "it ends", c.Done)
		})
		held := found.of(LoopHeld)
		if len(held) < 4 {
			t.Fatalf("%d reports", len(held))
		}
		for i, want := range []string{"reactor.runLoop.func1", "holder", "", "reactor.TestDebugHeld.func1.1.2"} {
			if held[i].Task != want {
				t.Errorf("report %d is about %q, want %q", i, held[i].Task, want)
			}
			if !strings.Contains(held[i].Stack, "reactor.holdHere") || strings.Contains(held[i].Stack, "watch") {
				t.Errorf("report %d has the stack of something else:\n%s", i, held[i].Stack)
			}
		}
	})
}

// A handler is named after its peer, also where it waits, and what waits holds nothing.
func TestDebugHandler(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		found := new(reports)
		g, err := NewGroup(WithBackend(name), WithDebug(Debug{Hold: 3 * time.Millisecond, Report: found.add}))
		must(t, "NewGroup", err)
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		calls := 0
		addr, err := g.Handle(ctx, "tcp", "127.0.0.1:0", func(c Conn) error {
			if calls++; calls == 1 {
				holdHere(t, found, 1)
			}
			data, err := c.Next()
			if err != nil {
				return err
			}
			c.Write(data)
			if calls == 1 {
				must(t, "Sleep", c.Task().Sleep(time.Millisecond))
				holdHere(t, found, 2)
			}
			return c.Flush()
		})
		must(t, "Handle", err)
		over := make(chan error, 1)
		go func() { over <- g.Run(ctx) }()
		c, err := net.Dial("tcp", addr.String())
		must(t, "Dial", err)
		defer c.Close()
		for range 3 {
			fmt.Fprint(c, "x")
			_, err = c.Read(make([]byte, 1))
			must(t, "Read", err)
		}
		cancel()
		wantErr(t, "Run", <-over, context.Canceled)
		held := found.of(LoopHeld)
		for i := range held {
			if held[i].Task != c.LocalAddr().String() || !strings.Contains(held[i].Stack, "reactor.holdHere") {
				t.Errorf("report %d is about %q, want %v, with the stack\n%s", i, held[i].Task, c.LocalAddr(), held[i].Stack)
			}
		}
		if left := found.of(ConnLeft); len(left) > 0 {
			t.Errorf("what the server has closed is reported as left: %v", left)
		}
	})
}

// What belongs to a loop and is used by another goroutine, of another loop's even, is reported, once for each place:
// where threads have numbers, and where they have none. Meanwhile the loop stands still, so that nothing is really at risk.
func TestDebugWrongGoroutine(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		other := testLoop(t, name, WithDebug(Debug{Hold: -1}))
		lent, ended := make(chan func()), make(chan error)
		must(t, "Go", other.Go(func(task Task) error {
			for f := range lent {
				f()
			}
			return nil
		}))
		go func() { ended <- other.Run(context.Background()) }()
		for what, call := range map[string]func(f func()){"goroutine": func(f func()) { go f() }, "loop": func(f func()) { lent <- f }} {
			for _, thread := range []int64{threadID(), unknownThread} {
				debugged(t, name, -1, func(task Task, found *reports) {
					if thread == unknownThread {
						task.Loop().thread.Store(unknownThread)
					}
					findsElsewhere(t, task, found, func(f func()) {
						done := make(chan struct{})
						call(func() {
							defer close(done)
							f()
						})
						<-done
					})
				})
				if t.Failed() {
					t.Fatalf("used by another %s, with thread %d", what, thread)
				}
			}
		}
		close(lent)
		must(t, "Run", <-ended)
	})
}

// findsElsewhere checks what is reported of calls that elsewhere makes.
func findsElsewhere(t *testing.T, task Task, found *reports, elsewhere func(func())) {
	a, b := pair(t, task)
	c, d := pair(t, task)
	ln, err := Listen(task, "tcp", "127.0.0.1:0")
	must(t, "Listen", err)
	raw, err := a.SyscallConn()
	must(t, "SyscallConn", err)
	file := fileOf(t, pattern(1<<20))
	waiter := task.Go(waitForEver)
	must(t, "Yield", task.Yield())
	var q Queue[int]
	getter := task.Go(func(task Task) error { _, err := q.Get(task); return err })
	must(t, "Yield", task.Yield())
	next, stop := iter.Pull(func(func(struct{}) bool) { // on a goroutine of its own, but on the loop
		must(t, "Yield in an iterator", task.Yield())
	})
	next()
	stop()
	if n := len(found.of(WrongGoroutine)); n > 0 {
		t.Fatalf("what is right is reported: %v", found.list)
	}
	for what, use := range map[string]func() error{
		"Sleep":          func() error { return task.Sleep(1) },
		"Next":           func() error { _, err := a.Next(); return err },
		"Write":          func() error { _, err := a.Write(nil); return err },
		"Flush":          func() error { return a.Flush() },
		"CloseWrite":     func() error { return a.CloseWrite() },
		"Splice":         func() error { _, err := a.Splice(b); return err },
		"sendfile":       func() error { _, err := a.ReadFrom(file); return err },
		"raw-read":       func() error { return raw.Read(func(uintptr) bool { return false }) },
		"Close":          func() error { return a.Close() },
		"Accept":         func() error { _, err := ln.AcceptConn(); return err },
		"Listener.Close": ln.Close,
		"until":          func() error { return ln.SetDeadline(time.Now().Add(time.Hour)) },
		"Deadline":       func() error { return b.SetDeadline(time.Now().Add(time.Hour)) },
		"Lock":           func() error { return new(Mutex).Lock(task) },
	} {
		seen := len(found.of(WrongGoroutine))
		elsewhere(func() { wantErr(t, what, use(), ErrWrongGoroutine) })
		if n := len(found.of(WrongGoroutine)); n != seen+1 {
			t.Errorf("%s has %d reports", what, n-seen)
		}
	}
	for what, use := range map[string]func(){
		"Go":      func() { task.Go(func(Task) error { return nil }) },
		"Cancel":  waiter.Cancel,
		"Context": func() { task.Context() },
		"Shared":  func() { c.Shared() },
		"Put":     func() { q.TryPut(1) },
	} {
		seen := len(found.of(WrongGoroutine))
		elsewhere(func() { wantErr(t, what, refusal(use), ErrWrongGoroutine) })
		if n := len(found.of(WrongGoroutine)); n == seen {
			t.Errorf("%s is not reported", what)
		}
	}
	seen := len(found.of(WrongGoroutine))
	for range 3 {
		elsewhere(func() { task.Sleep(1) })
	}
	all := found.of(WrongGoroutine)
	if len(all) != seen+1 || !strings.Contains(all[seen].Stack, "findsElsewhere") {
		t.Errorf("one place is reported %d times: %v", len(all)-seen, all[seen:])
	}
	waiter.Cancel()
	q.TryPut(1)
	when(t, task, "they end", func() bool { return waiter.Done() && getter.Done() })
	for _, conn := range []Conn{a, b, c, d} {
		conn.Close()
	}
	ln.Close()
}

// What Next has lent is poison when its time is over.
func TestDebugPoison(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		debugged(t, name, -1, func(task Task, _ *reports) {
			a, b := pair(t, task)
			send := func(text string) []byte {
				_, err := a.Write([]byte(text))
				must(t, "Write", err)
				data, err := b.Next()
				must(t, "Next", err)
				same(t, "lent", data, []byte(text))
				return data
			}
			first := send("first")
			must(t, "SetReadDeadline", b.SetReadDeadline(time.Now()))
			_, err := b.Next()
			wantErr(t, "Next", err, ErrDeadline)
			same(t, "what was lent before Next", first, bytes.Repeat([]byte{poison}, len(first)))
			must(t, "SetReadDeadline", b.SetReadDeadline(time.Time{}))
			_, err = a.Write([]byte("kept"))
			must(t, "Write", err)
			when(t, task, "it is copied out of the receive buffer", func() bool { return b.c.in != nil && b.c.in.lease == 0 })
			kept, err := b.Next()
			must(t, "Next", err)
			same(t, "lent of what was copied", kept, []byte("kept"))
			second := send("second")
			same(t, "what was lent of what was copied", kept, bytes.Repeat([]byte{poison}, len(kept)))
			b.Close()
			same(t, "what was lent before Close", second, bytes.Repeat([]byte{poison}, len(second)))
			a.Close()
		})
	})
}

// Connections and listeners that are open when all tasks have ended are reported, with where they were opened.
func TestDebugLeftOpen(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var want []string
		found := debugged(t, name, -1, func(task Task, _ *reports) {
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			a, err := Dial(task, "tcp", ln.Addr().String())
			must(t, "Dial", err)
			b, err := ln.AcceptConn()
			must(t, "Accept", err)
			c, d := pair(t, task)
			c.Close()
			must(t, "Close", d.Close())
			want = []string{ln.Addr().String(), a.RemoteAddr().String(), b.RemoteAddr().String()}
		})
		left := found.of(ConnLeft)
		if len(left) != len(want) {
			t.Errorf("%d are reported, want %d: %v", len(left), len(want), left)
		}
		for _, one := range left {
			if !slices.ContainsFunc(want, func(addr string) bool { return strings.HasSuffix(one.Text, addr) }) || !strings.Contains(one.Stack, "TestDebugLeftOpen") {
				t.Errorf("%s, opened at\n%s", one.Text, one.Stack)
			}
		}
	})
}

// Tasks that do not end when Run is to are reported, with what they wait for and where they were started.
func TestDebugLeftTask(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		found := new(reports)
		l := testLoop(t, name, WithDebug(Debug{Hold: -1, Report: found.add}))
		l.debug.grace = time.Millisecond
		ctx, cancel := context.WithCancelCause(context.Background())
		must(t, "Go", l.Go(func(task Task) error {
			task.Go(func(task Task) error {
				for {
					task.Yield()
				}
			}).SetName("stubborn")
			task.SetName("patient")
			return task.Together(func(g *TaskGroup) error {
				g.Go(func(task Task) error {
					cancel(errFailed)
					for len(found.of(TaskLeft)) == 0 {
						time.Sleep(time.Millisecond)
						task.Yield()
					}
					return nil
				})
				return nil
			})
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), errFailed)
		for who, text := range map[string]string{"stubborn": "ignores", "patient": "it waits for the children of its TaskGroup"} {
			if !slices.ContainsFunc(found.of(TaskLeft), func(one DebugReport) bool {
				return one.Task == who && strings.Contains(one.Text, text) && strings.Contains(one.Stack, "TestDebugLeftTask")
			}) {
				t.Errorf("no report is about %s: %v", who, found.list)
			}
		}
	})
}

// Labels in profiles are the tasks' names.
func TestDebugLabels(t *testing.T) {
	profile := func() string {
		var text bytes.Buffer
		must(t, "profile", pprof.Lookup("goroutine").WriteTo(&text, 1))
		return text.String()
	}
	labels := func(name string) string { return fmt.Sprintf(`"task":%q`, name) }
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name, WithDebug(Debug{Hold: -1}))
		pprof.Do(context.Background(), pprof.Labels("outer", "label"), func(ctx context.Context) {
			must(t, "Go", l.Go(func(task Task) error {
				c := task.Go(func(task Task) error { return task.Sleep(time.Hour) })
				c.SetName("before")
				must(t, "Yield", task.Yield())
				must(t, "Yield", task.Yield())
				task.SetName("first")
				p := profile()
				for _, want := range []string{labels("before"), labels("first"), `"outer":"label"`} {
					if !strings.Contains(p, want) {
						t.Errorf("no goroutine has the label %s:\n%s", want, p)
					}
				}
				c.SetName("after")
				c.Cancel()
				d := task.Go(func(task Task) error { return task.Yield() })
				when(t, task, "they end", func() bool { return c.Done() && d.Done() })
				if p := profile(); strings.Contains(p, labels("before")) || strings.Contains(p, labels("after")) {
					t.Errorf("a label is left:\n%s", p)
				}
				return nil
			}))
			if err := runUntil(t, l, ctx); err != nil && err != ErrCanceled {
				t.Errorf("Run: %v", err)
			}
		})
	})
}

// Debug mode keeps times, and where tasks were started.
func TestDebugDump(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		debugged(t, name, -1, func(task Task, _ *reports) {
			looked := make(chan struct{})
			c := task.Go(func(task Task) error {
				return task.Await(&offloaded{loop: task.Loop(), work: func() { <-looked }})
			})
			must(t, "Sleep", task.Sleep(2*time.Millisecond))
			d := task.Loop().Dump()
			close(looked)
			i := named(t, d, c.Name())
			if i.Age < 2*time.Millisecond || i.Since <= 0 || i.Since > i.Age || !strings.Contains(i.Begun, "TestDebugDump") {
				t.Errorf("it is %+v", i)
			}
			if i.For != "an event (*reactor.offloaded)" || !strings.Contains(i.String(), "of age") {
				t.Errorf("it waits for %q; %v", i.For, &i)
			}
		})
	})
}

// A report is printed in lines, which name the rule and the way out.
func TestDebugReportText(t *testing.T) {
	for kind := LoopHeld; kind <= BuffersHeld; kind++ {
		r := DebugReport{Kind: kind, Text: "what is wrong", Task: "name", Stack: "f()\n\t/f.go:1\ng()\n\t/g.go:2\n"}
		lines := strings.Split(r.String(), "\n")
		for i, want := range []string{
			"reactor: what is wrong", "\ttask: name", "\trule: ", "\tway out: ", "\tstack:", "\t\tf()", "\t\t\t/f.go:1",
		} {
			if i >= len(lines) || !strings.HasPrefix(lines[i], want) || strings.HasSuffix(lines[i], ": ") {
				t.Errorf("line %d of kind %d is not %q:\n%v", i, kind, want, r)
			}
		}
		if len(lines) != 10 || lines[9] != "" {
			t.Errorf("%d lines:\n%v", len(lines), r)
		}
	}
	bare := DebugReport{Kind: ConnLeft, Text: "what is wrong"}.String()
	if strings.Contains(bare, "task:") || strings.Contains(bare, "stack:") {
		t.Errorf("it tells of what it does not know:\n%s", bare)
	}
}

// The environment turns debug mode on, and its reports are printed.
func TestDebugFromEnvironment(t *testing.T) {
	before := os.Stderr
	defer func() { os.Stderr = before }()
	for value, want := range map[string]bool{"1": true, "0": false, "": false} {
		t.Run(value, func(t *testing.T) {
			t.Setenv(debugVar, value)
			eachBackend(t, func(t *testing.T, name string) {
				f, err := os.CreateTemp(t.TempDir(), "")
				must(t, "CreateTemp", err)
				defer f.Close()
				os.Stderr = f
				run(t, name, func(task Task) {
					_, err := Listen(task, "tcp", "127.0.0.1:0")
					must(t, "Listen", err)
				})
				os.Stderr = before
				text, err := os.ReadFile(f.Name())
				must(t, "ReadFile", err)
				if got := strings.HasPrefix(string(text), "reactor: a listener was left open"); got != want {
					t.Errorf("with %s=%q it prints %q", debugVar, value, text)
				}
				if lines := bytes.Split(text, []byte("\n")); want && len(lines) < 5 {
					t.Errorf("the report has %d lines: %s", len(lines), text)
				}
			})
		})
	}
}
