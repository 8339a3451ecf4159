package reactor

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/sock"
)

// waits are ways to wait for what does not come: each sets up something and returns a function that waits for it, again
// and again.
var waits = map[string]func(testing.TB, Task) func(Task) error{
	"Sleep": func(testing.TB, Task) func(Task) error {
		return func(task Task) error { return task.Sleep(time.Hour) }
	},
	"Next": func(t testing.TB, task Task) func(Task) error {
		a, _ := pair(t, task)
		return func(Task) error { _, err := a.Next(); return err }
	},
	"Read": func(t testing.TB, task Task) func(Task) error {
		a, _ := pair(t, task)
		return func(Task) error { _, err := a.Read(make([]byte, 1)); return err }
	},
	"large Write": func(t testing.TB, task Task) func(Task) error {
		a, _ := pairOf(t, task, full, "127.0.0.1:0")
		return func(Task) error { _, err := a.Write(make([]byte, 8<<20)); return err }
	},
	"small Write": func(t testing.TB, task Task) func(Task) error {
		a, _ := pairOf(t, task, full, "127.0.0.1:0")
		return func(Task) error {
			for {
				if _, err := a.Write(make([]byte, 8<<10)); err != nil {
					return err
				}
			}
		}
	},
	"Flush": func(t testing.TB, task Task) func(Task) error {
		a, _ := pairOf(t, task, full, "127.0.0.1:0")
		return func(Task) error {
			for {
				if _, err := a.Write(make([]byte, 15<<10)); err != nil {
					return err
				}
				if err := a.Flush(); err != nil {
					return err
				}
			}
		}
	},
	"Accept": func(t testing.TB, task Task) func(Task) error {
		ln, err := Listen(task, "tcp", "127.0.0.1:0")
		must(t, "Listen", err)
		return func(Task) error { _, err := ln.Accept(); return err }
	},
	"Dial": func(t testing.TB, task Task) func(Task) error {
		address := silent(t, task)
		return func(task Task) error { _, err := Dial(task, "tcp", address); return err }
	},
	"Await of an operation": func(t testing.TB, task Task) func(Task) error {
		r, w := newPipe(t)
		t.Cleanup(func() { unix.Close(r); unix.Close(w) })
		return func(task Task) error { return task.Await(&event.ReadInto{FD: r, Buf: make([]byte, 1)}) }
	},
	"Await of what is held": func(testing.TB, Task) func(Task) error {
		return func(task Task) error {
			return task.Await(&testEvent{register: func(r event.Reactor) error { r.Hold(); return nil }})
		}
	},
	"Yield": func(testing.TB, Task) func(Task) error {
		return func(task Task) error {
			for {
				if err := task.Yield(); err != nil {
					return err
				}
			}
		}
	},
	"CloseWrite": func(t testing.TB, task Task) func(Task) error {
		a, _ := pairOf(t, task, full, "127.0.0.1:0")
		fill(t, task, a)
		return func(Task) error { return a.CloseWrite() }
	},
	"io.ReadFull": func(t testing.TB, task Task) func(Task) error {
		a, b := pair(t, task)
		_, err := b.Write([]byte("x"))
		must(t, "Write", err)
		return func(Task) error { _, err := io.ReadFull(a, make([]byte, 2)); return err }
	},
	"io.Copy": func(t testing.TB, task Task) func(Task) error {
		a, b := pair(t, task)
		return func(Task) error { _, err := io.Copy(a, b); return err }
	},
	"Dial of a name": func(t testing.TB, task Task) func(Task) error {
		resolver := net.DefaultResolver
		t.Cleanup(func() { net.DefaultResolver = resolver })
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		n := 0
		return func(task Task) error {
			n++ // for package net looks a name up once for all who ask for it, and goes on where one of them gives up
			_, err := Dial(task, "tcp", fmt.Sprintf("name%d.invalid.:80", n))
			return err
		}
	},
	"event.Accept": func(t testing.TB, task Task) func(Task) error {
		fd, _ := rawListener(t)
		t.Cleanup(func() { unix.Close(fd) })
		return func(task Task) error { return task.Await(&event.Accept{FD: fd}) }
	},
	"event.Connect": func(t testing.TB, task Task) func(Task) error {
		to, err := sock.Raw(nil, netip.MustParseAddrPort(silent(t, task)))
		must(t, "Raw", err)
		return func(task Task) error {
			fd, err := sock.New(netip.IPv4Unspecified())
			must(t, "socket", err)
			defer task.Loop().discard(fd)
			return task.Await(&event.Connect{FD: fd, Addr: to})
		}
	},
	"event.Read": func(t testing.TB, task Task) func(Task) error {
		a, _ := pair(t, task)
		return func(task Task) error { return task.Await(&event.Read{FD: a.FD()}) }
	},
	"Splice": func(t testing.TB, task Task) func(Task) error {
		a, b := pair(t, task)
		return func(Task) error { _, err := a.Splice(b); return err }
	},
	"Splice to who does not read": func(t testing.TB, task Task) func(Task) error {
		from, source := peered(t, task, ListenConfig{}, "127.0.0.1:0")
		to, _ := peered(t, task, full, "127.0.0.1:0")
		sendAll(source, make([]byte, 16<<20))
		return func(Task) error { _, err := from.WriteTo(to); return err }
	},
	"sendfile": func(t testing.TB, task Task) func(Task) error {
		a, _ := pairOf(t, task, full, "127.0.0.1:0")
		file := fileOf(t, make([]byte, 8<<20))
		return func(Task) error {
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				return err
			}
			_, err := io.Copy(a, file)
			return err
		}
	},
	"event.SendFile": func(t testing.TB, task Task) func(Task) error {
		a, _ := pairOf(t, task, full, "127.0.0.1:0")
		file := fileOf(t, make([]byte, 8<<20))
		return func(task Task) error {
			return task.Await(&event.SendFile{FD: a.FD(), File: backend.File{FD: int(file.Fd()), Size: 8 << 20}})
		}
	},
	"event.Write": func(t testing.TB, task Task) func(Task) error {
		r, w := newPipe(t)
		t.Cleanup(func() { unix.Close(r); unix.Close(w) })
		return func(task Task) error { return task.Await(&event.Write{FD: w, Buf: make([]byte, 8<<20)}) }
	},
	"event.Writev": func(t testing.TB, task Task) func(Task) error {
		a, _ := pairOf(t, task, full, "127.0.0.1:0")
		return func(task Task) error {
			return task.Await(&event.Writev{FD: a.FD(), Bufs: [][]byte{make([]byte, 8<<20)}})
		}
	},
	"event.Poll": func(t testing.TB, task Task) func(Task) error {
		r, w := newPipe(t)
		t.Cleanup(func() { unix.Close(r); unix.Close(w) })
		return func(task Task) error { return task.Await(&event.Poll{FD: r, Events: unix.POLLIN}) }
	},
	"event.Signal": func(t testing.TB, task Task) func(Task) error {
		e := &event.Signal{Signals: []os.Signal{unix.SIGUSR2}}
		t.Cleanup(e.Stop)
		return func(task Task) error { return task.Await(e) }
	},
	"AwaitFirst": func(t testing.TB, task Task) func(Task) error {
		a, _ := pair(t, task)
		return func(task Task) error {
			_, err := task.AwaitFirst(&event.Sleep{For: time.Hour}, &event.Read{FD: a.FD()})
			return err
		}
	},
	"Together": func(testing.TB, Task) func(Task) error {
		return func(task Task) error {
			return task.Together(func(g *TaskGroup) error {
				g.Go(func(task Task) error { return task.Sleep(time.Hour) })
				return nil
			})
		}
	},
	"First": func(testing.TB, Task) func(Task) error {
		return func(task Task) error {
			_, err := First(task, func(task Task) (int, error) { return 0, task.Sleep(time.Hour) })
			return err
		}
	},
	"Mutex": func(t testing.TB, task Task) func(Task) error {
		var m Mutex
		must(t, "Lock", m.Lock(task))
		return m.Lock
	},
	"Semaphore": func(t testing.TB, task Task) func(Task) error {
		s := NewSemaphore(1)
		must(t, "Acquire", s.Acquire(task, 1))
		return func(task Task) error { return s.Acquire(task, 1) }
	},
	"Cond": func(testing.TB, Task) func(Task) error { return new(Cond).Wait },
	"WaitGroup": func(testing.TB, Task) func(Task) error {
		var g WaitGroup
		g.Add(1)
		return g.Wait
	},
	"Queue.Get": func(testing.TB, Task) func(Task) error {
		q := NewQueue[int](1)
		return func(task Task) error { _, err := q.Get(task); return err }
	},
	"Queue.Put": func(t testing.TB, task Task) func(Task) error {
		q := NewQueue[int](1)
		must(t, "Put", q.Put(task, 1))
		return func(task Task) error { return q.Put(task, 2) }
	},
	"Promise": func(testing.TB, Task) func(Task) error {
		var p Promise[int]
		return func(task Task) error { _, err := p.Wait(task); return err }
	},
	"Promise from elsewhere": func(_ testing.TB, task Task) func(Task) error {
		p := NewPromise[int](task.Loop())
		return func(task Task) error { _, err := p.Wait(task); return err }
	},
	"Mailbox": func(_ testing.TB, task Task) func(Task) error {
		m := NewMailbox[int](task.Loop(), 1)
		return func(task Task) error { _, err := m.Receive(task); return err }
	},
	"Receive": func(testing.TB, Task) func(Task) error {
		ch := make(chan int)
		return func(task Task) error { _, _, err := Receive(task, ch); return err }
	},
	"Offload": func(testing.TB, Task) func(Task) error {
		return func(task Task) error {
			block := make(chan struct{})
			defer close(block)
			return Offload(task, func() error { <-block; return nil })
		}
	},
	"Offload that is queued": func(t testing.TB, task Task) func(Task) error {
		l := task.Loop()
		l.opt.workers = 1
		must(t, "Offload", l.offload.add(&job{loop: l, fn: func() error { <-l.finished; return nil }}))
		return func(task Task) error { return Offload(task, func() error { t.Error("it has begun"); return nil }) }
	},
}

// endings are ways to end the waits of body early, with the cause that is returned.
var endings = map[string]func(task Task, body func() error) (cause, err error){
	"Timeout": func(task Task, body func() error) (error, error) {
		return context.DeadlineExceeded, task.Timeout(2*time.Millisecond, body)
	},
	"Timeout that is over": func(task Task, body func() error) (error, error) {
		return context.DeadlineExceeded, task.Timeout(0, body)
	},
	"Timeout around": func(task Task, body func() error) (error, error) {
		return context.DeadlineExceeded, task.Timeout(2*time.Millisecond, func() error { return task.Timeout(time.Hour, body) })
	},
	"With": func(task Task, body func() error) (error, error) {
		ctx, cancel := context.WithCancelCause(context.Background())
		defer time.AfterFunc(2*time.Millisecond, func() { cancel(errCause) }).Stop()
		return errCause, task.With(ctx, body)
	},
	"With that is over": func(task Task, body func() error) (error, error) {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errCause)
		return errCause, task.With(ctx, body)
	},
	"With a deadline": func(task Task, body func() error) (error, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
		defer cancel()
		return context.DeadlineExceeded, task.With(ctx, body)
	},
}

// A task that is canceled goes on in the next turn of the loop, or where it waits for an operation, a goroutine or a child
// that is to end, in the one after that, whatever it waits for; its defers run.
func TestCancelWithinATurn(t *testing.T) {
	for way, set := range waits {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					l, wait := task.Loop(), set(t, task)
					var over Promise[uint64]
					waiter := task.Go(func(task Task) error {
						defer func() { over.Set(l.stats.Turns, nil) }()
						wantErr(t, "the wait", wait(task), errCause)
						return nil
					})
					must(t, "Sleep", task.Sleep(2*time.Millisecond))
					waiter.CancelCause(errCause)
					began := l.stats.Turns
					ended, err := over.Wait(task)
					must(t, "Wait", err)
					if ended-began > 2 {
						t.Errorf("it took %d turns", ended-began)
					}
				}, WithLinger(time.Millisecond))
			})
		})
	}
}
