package reactor

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/event"
)

// named is the task of that name in a dump.
func named(t *testing.T, d Dump, name string) TaskInfo {
	t.Helper()
	for _, i := range d {
		if i.Name == name {
			return i
		}
	}
	t.Errorf("no task is called %q in\n%v", name, d)
	return TaskInfo{}
}

// A Dump tells of every kind of wait what it is for.
func TestDump(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			l := task.Loop()
			ln, err := Listen(task, "tcp", "127.0.0.1:0")
			must(t, "Listen", err)
			a, peer := pair(t, task)
			b, stalled := pair(t, task)
			r, w := newPipe(t)
			defer task.Await(&event.Close{FD: r})
			defer task.Await(&event.Close{FD: w})
			var m Mutex
			must(t, "Lock", m.Lock(task))
			ch := make(chan int)
			working := make(chan int)
			waits := map[string]func(Task) error{
				"Conn.Read on " + a.RemoteAddr().String():  func(Task) error { _, err := a.Next(); return err },
				"Listener.Accept on " + ln.Addr().String(): func(Task) error { _, err := ln.Accept(); return err },
				"Conn.Write on " + b.RemoteAddr().String(): func(Task) error { return writeMuch(b) },
				"Mutex.Lock":             m.Lock,
				"Sleep":                  func(task Task) error { return task.Sleep(time.Hour) },
				"Cond.Wait":              new(Cond).Wait,
				"Receive from a channel": func(task Task) error { _, _, err := Receive(task, ch); return err },
				"Offload":                func(task Task) error { return Offload(task, func() error { <-working; return nil }) },
				"AwaitFirst":             func(task Task) error { _, err := task.AwaitFirst(&event.Sleep{For: time.Hour}); return err },
				"event.ReadInto":         func(task Task) error { return task.Await(&event.ReadInto{FD: r, Buf: make([]byte, 1)}) },
				"an event":               func(task Task) error { return task.Await(&offloaded{loop: l, work: func() { <-working }}) },
				"the children of its TaskGroup": func(task Task) error {
					return task.Together(func(g *TaskGroup) error { g.Go(waitForEver); return nil })
				},
			}
			err = task.Together(func(g *TaskGroup) error {
				for what, wait := range waits {
					g.Go(wait).SetName(what)
				}
				must(t, "Sleep", task.Sleep(time.Millisecond))
				when(t, task, "the writer waits", func() bool { return named(t, l.Dump(), "Conn.Write on "+b.RemoteAddr().String()).For != "" })
				ready := g.Go(waitForEver)
				ready.SetName("ready")
				task.SetName("itself")
				d := l.Dump()
				for what := range waits {
					if i := named(t, d, what); i.State != TaskWaiting || !strings.HasPrefix(i.For, what) {
						t.Errorf("%q: %+v", what, i)
					}
				}
				if i := named(t, d, "ready"); i.State != TaskReady || i.For != "" {
					t.Errorf("the one that has not begun: %+v", i)
				}
				if i := named(t, d, "itself"); i.State != TaskRunning || i.For != "" || i.Canceled != nil {
					t.Errorf("the one that runs: %+v", i)
				}
				if i := named(t, d, "reactor.waitForEver"); i.State != TaskWaiting || i.For != "Cond.Wait" {
					t.Errorf("the one that has no name: %+v", i)
				}
				if len(d) != len(waits)+3 || strings.Count(d.String(), "\n") != len(d) {
					t.Errorf("there are %d tasks, and should be %d:\n%v", len(d), len(waits)+3, d)
				}
				ready.CancelCause(errFailed)
				if i := named(t, l.Dump(), "ready"); i.Canceled != errFailed || !strings.Contains(i.String(), errFailed.Error()) {
					t.Errorf("the one that is canceled: %+v", i)
				}
				close(working)
				g.Cancel()
				return nil
			})
			must(t, "Together", err)
			for _, c := range []Conn{a, b, peer, stalled} {
				c.Close()
			}
			ln.Close()
			if len(l.names) != 1 || task.Name() != "itself" {
				t.Errorf("names are left: %v", l.names)
			}
		}, WithLinger(0))
	})
}

func waitForEver(task Task) error { return new(Cond).Wait(task) }

func writeMuch(c Conn) error {
	for p := make([]byte, 1<<20); ; {
		if _, err := c.Write(p); err != nil {
			return err
		}
	}
}

// A name ends with its task, though the loop uses the memory again.
func TestName(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for range 3 {
				c := task.Go(func(task Task) error { return task.Yield() })
				if got := c.Name(); got != "reactor.TestName.func1.1.1" {
					t.Errorf("the task is called %q before it is", got)
				}
				c.SetName("child")
				if c.Name() != "child" {
					t.Errorf("it is called %q", c.Name())
				}
				when(t, task, "it ends", c.Done)
				c.SetName("ended")
				if c.Name() != "" || len(task.Loop().names) > 0 {
					t.Errorf("it has ended, and is called %q; there are %v", c.Name(), task.Loop().names)
				}
			}
			if new(Task).SetName("none"); new(Task).Name() != "" {
				t.Error("no task has a name")
			}
		})
	})
}

// Tasks of a server are named after who they serve, tasks and handlers alike; Dump is for any goroutine.
func TestDumpServer(t *testing.T) {
	for what, serve := range map[string]func(*Group, context.Context, string, string, func(Conn) error) (net.Addr, error){
		"Serve": (*Group).Serve, "Handle": (*Group).Handle,
	} {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				g, err := NewGroup(WithBackend(name), WithLoops(2))
				must(t, "NewGroup", err)
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				defer cancel()
				addr, err := serve(g, ctx, "tcp", "127.0.0.1:0", func(c Conn) error {
					buf := make([]byte, 1)
					if _, err := c.Read(buf); err != nil {
						return err
					}
					if buf[0] == 'n' {
						c.Task().SetName("named")
					}
					c.Write(buf)
					_, err := c.Read(buf)
					return err
				})
				must(t, "serve", err)
				if d, err := g.Dump(ctx); err != nil || len(d) != 0 {
					t.Errorf("before Run there are tasks, or an error: %v, %v", d, err)
				}
				over := make(chan error, 1)
				go func() { over <- g.Run(ctx) }()
				var conns []net.Conn
				for _, first := range "un" {
					c, err := net.Dial("tcp", addr.String())
					must(t, "Dial", err)
					defer c.Close()
					conns = append(conns, c)
					fmt.Fprint(c, string(first))
					_, err = c.Read(make([]byte, 1))
					must(t, "Read", err)
				}
				for i, want := range []string{conns[0].LocalAddr().String(), "named"} {
					var found TaskInfo
					if !eventually(func() bool {
						d, err := g.Dump(ctx)
						must(t, "Dump", err)
						for _, i := range d {
							if i.Name == want && i.State == TaskWaiting {
								found = i
								return true
							}
						}
						return false
					}) {
						t.Errorf("no task is called %q", want)
					}
					if want := "Conn.Read on " + conns[i].LocalAddr().String(); found.For != want {
						t.Errorf("it waits for %q, want %q", found.For, want)
					}
				}
				cancel()
				wantErr(t, "Run", <-over, context.Canceled)
				if d, err := g.Dump(context.Background()); err != nil || len(d) != 0 {
					t.Errorf("after Run there are tasks, or an error: %v, %v", d, err)
				}
			})
		})
	}
}

// A loop that is held does not answer, and nobody waits for that longer than they want.
func TestDumpHeld(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			l := task.Loop()
			asked := make(chan error)
			go func() {
				ctx, cancel := context.WithCancelCause(context.Background())
				cancel(errFailed)
				_, err := l.AskDump(ctx)
				asked <- err
			}()
			wantErr(t, "AskDump", <-asked, errFailed)
			off(t, task, func() {
				d, err := l.AskDump(context.Background())
				if err != nil || len(d) != 1 || !strings.HasPrefix(d[0].For, "an event") {
					t.Errorf("AskDump: %v, %v", d, err)
				}
			})
		})
	})
}

// A Unix socket's peer has no address mostly; its task has a name all the same.
func TestDumpUnix(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, err := Listen(task, "unix", t.TempDir()+"/s")
			must(t, "Listen", err)
			a, err := Dial(task, "unix", ln.Addr().String())
			must(t, "Dial", err)
			b, err := ln.AcceptConn()
			must(t, "Accept", err)
			for _, c := range []Conn{a, b} {
				if got := c.c.name(); !strings.Contains(got, ln.Addr().String()) && !strings.Contains(got, "descriptor") {
					t.Errorf("it is called %q", got)
				}
				c.Close()
			}
			ln.Close()
		})
	})
}
