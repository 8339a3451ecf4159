package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/goroutine"
)

// needsGoroutines skips a test in a build that cannot tell goroutines apart.
func needsGoroutines(t *testing.T) {
	t.Helper()
	if !goroutine.Known {
		t.Skip("goroutines cannot be told apart in this build")
	}
}

// refusal is the error that call panics with; nil if it does not.
func refusal(call func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			var ok bool
			if err, ok = v.(error); !ok {
				err = fmt.Errorf("it panics with %v", v)
			}
		}
	}()
	call()
	return nil
}

// Every other goroutine, even another loop's, is refused whatever belongs to a loop, while the loop stands still and
// while it runs. The calls change nothing.
func TestForeignGoroutine(t *testing.T) {
	needsGoroutines(t)
	eachBackend(t, func(t *testing.T, name string) {
		other := testLoop(t, name)
		lent, ended := make(chan func()), make(chan error)
		must(t, "Go", other.Go(func(Task) error {
			for f := range lent {
				f()
			}
			return nil
		}))
		go func() { ended <- other.Run(context.Background()) }()
		wait := func(start func(f func()), f func()) {
			done := make(chan struct{})
			start(func() {
				defer close(done)
				f()
			})
			<-done
		}
		inGoroutine := func(f func()) { wait(func(f func()) { go f() }, f) }
		onOther := func(f func()) { wait(func(f func()) { lent <- f }, f) }
		const ofOtherLoop = "a coroutine of another loop" // which only its thread tells from one of the loop
		for what, elsewhere := range map[string]func(task Task, f func()){
			"a goroutine, while the loop stands still": func(_ Task, f func()) { inGoroutine(f) },
			"a goroutine": func(task Task, f func()) { off(t, task, f) },
			"another loop, while the loop stands still": func(_ Task, f func()) { onOther(f) },
			"another loop": func(task Task, f func()) { off(t, task, func() { onOther(f) }) },
			"a coroutine of another goroutine": func(task Task, f func()) {
				off(t, task, func() { inCoroutine(f) })
			},
			ofOtherLoop: func(task Task, f func()) {
				off(t, task, func() { onOther(func() { inCoroutine(f) }) })
			},
			"a goroutine, while a posted function waits": func(task Task, f func()) {
				fromPosted(t, task, func() { inGoroutine(f) })
			},
		} {
			t.Run(what, func(t *testing.T) {
				run(t, name, func(task Task) { refusesForeign(t, task, func(f func()) { elsewhere(task, f) }) })
				if what == ofOtherLoop {
					return
				}
				run(t, name, func(task Task) { // as on a system whose threads have no numbers
					task.Loop().thread.Store(unknownThread)
					refusesForeign(t, task, func(f func()) { elsewhere(task, f) })
				})
			})
		}
		close(lent)
		must(t, "Run", <-ended)
	})
}

// inCoroutine calls f in a coroutine of its caller.
func inCoroutine(f func()) {
	next, stop := iter.Pull(func(yield func(bool) bool) { f(); yield(true) })
	next()
	stop()
}

// fromPosted calls f from a posted function.
func fromPosted(t *testing.T, task Task, f func()) {
	called := false
	must(t, "Post", task.Loop().Post(func() { f(); called = true }))
	when(t, task, "it was called", func() bool { return called })
}

// refusesForeign makes every call that belongs to a loop elsewhere.
func refusesForeign(t *testing.T, task Task, elsewhere func(func())) {
	l := task.Loop()
	a, b := pair(t, task)
	ln, err := Listen(task, "tcp", "127.0.0.1:0")
	must(t, "Listen", err)
	raw, err := a.SyscallConn()
	must(t, "SyscallConn", err)
	rawLn, err := ln.SyscallConn()
	must(t, "SyscallConn", err)
	file := fileOf(t, pattern(1<<20))
	stop := false
	busy := task.Go(func(task Task) error { // so that there is something to race with
		x, y := pair(t, task)
		for !stop {
			x.Write([]byte("x"))
			y.Next()
			task.Timeout(time.Hour, task.Yield)
		}
		x.Close()
		return y.Close()
	})
	waiter := task.Go(waitForEver)
	mailbox := NewMailbox[int](l, 1)
	promise, outer := new(Promise[int]), NewPromise[int](l)
	mutex, sem, cond, wg, queue := new(Mutex), NewSemaphore(1), new(Cond), new(WaitGroup), NewQueue[int](2)
	must(t, "Lock", mutex.Lock(task))
	must(t, "Acquire", sem.Acquire(task, 1))
	must(t, "Put", queue.Put(task, 1))
	wg.Add(1)
	var group *TaskGroup
	ends := new(Cond)
	grouped := task.Go(func(task Task) error {
		return task.Together(func(g *TaskGroup) error { group = g; return ends.Wait(task) })
	})
	waits := task.Go(func(task Task) error { return cond.Wait(task) })
	gets := task.Go(func(task Task) error { _, err := promise.Wait(task); return err })
	held := new(heldEvent)
	holds := task.Go(func(task Task) error { return task.Await(held) })
	when(t, task, "all of them wait", func() bool { return held.r != nil && group != nil })
	never := func() error { t.Error("it was called"); return nil }
	neverTask := func(Task) error { return never() }
	neverFD := func(uintptr) { never() }
	neverReady := func(uintptr) bool { never(); return true }
	later := time.Now().Add(time.Hour)
	errs := map[string]func() error{
		"Task.Await":      func() error { return task.Await(&event.Sleep{}) },
		"Task.AwaitFirst": func() error { _, err := task.AwaitFirst(&event.Sleep{}); return err },
		"Task.Sleep":      func() error { return task.Sleep(1) },
		"Task.Yield":      task.Yield,
		"Task.Timeout":    func() error { return task.Timeout(1, never) },
		"Task.With":       func() error { return task.With(context.Background(), never) },
		"Task.Shield":     func() error { return task.Shield(never) },
		"Task.Together":   func() error { return task.Together(func(*TaskGroup) error { return never() }) },
		"First": func() error {
			_, err := First(task, func(Task) (int, error) { return 0, never() })
			return err
		},
		"Receive":    func() error { _, _, err := Receive(task, make(chan int)); return err },
		"Offload":    func() error { return Offload(task, never) },
		"Listen":     func() error { _, err := Listen(task, "tcp", "127.0.0.1:0"); return err },
		"Dial":       func() error { _, err := Dial(task, "tcp", ln.Addr().String()); return err },
		"ListenFile": func() error { _, err := ListenFile(task, file); return err },

		"Conn.Next":               func() error { _, err := a.Next(); return err },
		"Conn.Read":               func() error { _, err := a.Read(make([]byte, 1)); return err },
		"Conn.Read of nothing":    func() error { _, err := a.Read(nil); return err },
		"Conn.Write":              func() error { _, err := a.Write([]byte("x")); return err },
		"Conn.Write of much":      func() error { _, err := a.Write(make([]byte, 1<<20)); return err },
		"Conn.Writev":             func() error { _, err := a.Writev([][]byte{{1}}); return err },
		"Conn.Flush":              a.Flush,
		"Conn.Splice":             func() error { _, err := a.Splice(b); return err },
		"Conn.WriteTo":            func() error { _, err := a.WriteTo(io.Discard); return err },
		"Conn.ReadFrom":           func() error { _, err := a.ReadFrom(readerFunc(never)); return err },
		"Conn.ReadFrom of a file": func() error { _, err := io.Copy(a, file); return err },
		"Conn.ReadFrom of a Conn": func() error { _, err := io.Copy(a, b); return err },
		"Conn.CloseWrite":         a.CloseWrite,
		"Conn.CloseRead":          a.CloseRead,
		"Conn.Close":              a.Close,
		"Conn.SetDeadline":        func() error { return a.SetDeadline(time.Now()) },
		"Conn.SetReadDeadline":    func() error { return a.SetReadDeadline(time.Time{}) },
		"Conn.SetWriteDeadline":   func() error { return a.SetWriteDeadline(later) },
		"Conn.SetNoDelay":         func() error { return a.SetNoDelay(true) },
		"Conn.SetKeepAlivePeriod": func() error { return a.SetKeepAlivePeriod(time.Hour) },
		"Conn.File":               func() error { _, err := a.File(); return err },
		"Conn.SyscallConn":        func() error { _, err := a.SyscallConn(); return err },
		"RawConn.Control":         func() error { return raw.Control(neverFD) },
		"RawConn.Read":            func() error { return raw.Read(neverReady) },
		"RawConn.Write":           func() error { return raw.Write(neverReady) },

		"Listener.Accept":      func() error { _, err := ln.Accept(); return err },
		"Listener.Close":       ln.Close,
		"Listener.SetDeadline": func() error { return ln.SetDeadline(time.Now()) },
		"Listener.File":        func() error { _, err := ln.File(); return err },
		"Listener.SyscallConn": func() error { _, err := ln.SyscallConn(); return err },
		"its RawConn.Control":  func() error { return rawLn.Control(neverFD) },

		"Mutex.Lock":        func() error { return mutex.Lock(task) },
		"Semaphore.Acquire": func() error { return sem.Acquire(task, 1) },
		"Cond.Wait":         func() error { return cond.Wait(task) },
		"WaitGroup.Wait":    func() error { return wg.Wait(task) },
		"Queue.Put":         func() error { return queue.Put(task, 2) },
		"Queue.Get":         func() error { _, err := queue.Get(task); return err },
		"Promise.Wait":      func() error { _, err := promise.Wait(task); return err },
		"Mailbox.Receive":   func() error { _, err := mailbox.Receive(task); return err },
	}
	for what, call := range map[string]func(){
		"Task.Go":          func() { task.Go(neverTask) },
		"Task.Cancel":      waiter.Cancel,
		"Task.CancelCause": func() { waiter.CancelCause(errFailed) },
		"Task.Done":        func() { waiter.Done() },
		"Task.Context":     func() { task.Context() },
		"Task.Name":        func() { waiter.Name() },
		"Task.SetName":     func() { waiter.SetName("x") },

		"Conn.Task":    func() { a.Task() },
		"Conn.Release": a.Release,
		"Conn.Shared":  func() { a.Shared() },

		"Listener.SetUnlinkOnClose": func() { ln.SetUnlinkOnClose(true) },
		"Listener.Shared":           func() { ln.Shared() },

		"Loop.Stats": func() { l.Stats() },
		"Loop.Dump":  func() { l.Dump() },

		"Mutex.TryLock":            func() { mutex.TryLock() },
		"Mutex.Unlock":             mutex.Unlock,
		"Semaphore.TryAcquire":     func() { sem.TryAcquire(1) },
		"Semaphore.Release":        func() { sem.Release(1) },
		"Cond.Signal":              func() { cond.Signal() },
		"Cond.Broadcast":           cond.Broadcast,
		"WaitGroup.Add":            func() { wg.Add(1) },
		"WaitGroup.Done":           wg.Done,
		"Queue.TryPut":             func() { queue.TryPut(2) },
		"Queue.TryGet":             func() { queue.TryGet() },
		"Queue.Len":                func() { queue.Len() },
		"Queue.Close":              queue.Close,
		"Promise.Set":              func() { promise.Set(1, nil) },
		"Promise.Done":             func() { promise.Done() },
		"Set of one by NewPromise": func() { outer.Set(1, nil) },
		"TaskGroup.Go":             func() { group.Go(neverTask) },
		"TaskGroup.Cancel":         func() { group.Cancel() },
		"Start":                    func() { Start(group, func(Task) (int, error) { return 0, never() }) },

		"Reactor.Submit":  func() { held.r.Submit(backend.Op{Kind: backend.Recv, FD: 1}) },
		"Reactor.Cancel":  func() { held.r.Cancel(1) },
		"Reactor.Timer":   func() { held.r.Timer(0) },
		"Reactor.Release": func() { held.r.Release(1) },
		"Reactor.Ready":   func() { held.r.Ready(nil) },
		"Reactor.Hold":    func() { held.r.Hold() },
	} {
		errs[what] = func() error { return refusal(call) }
	}
	elsewhere(func() {
		for what, call := range errs {
			wantErr(t, what, call(), ErrWrongGoroutine)
		}
		if a.FD() != -1 {
			t.Error("FD tells a descriptor")
		}
		if text := a.LocalAddr().String() + a.RemoteAddr().String(); strings.Contains(text, "127") {
			t.Errorf("the addresses are %s", text)
		}
	})
	for what, over := range map[string]Task{
		"a waiter": waiter, "a group": grouped, "a Cond": waits, "a Promise": gets, "an event": holds,
	} {
		if over.Done() {
			t.Errorf("%s was ended", what)
		}
	}
	if mutex.TryLock() || sem.TryAcquire(1) || queue.Len() != 1 || promise.Done() || outer.Done() {
		t.Error("a primitive has changed")
	}
	if waiter.Name() == "x" {
		t.Error("SetName has given a name")
	}
	_, err = a.Write([]byte("y"))
	must(t, "Write", err)
	data, err := b.Next()
	must(t, "Next", err)
	same(t, "what came", data, []byte("y"))
	elsewhere(func() { wantErr(t, "Release", refusal(b.Release), ErrWrongGoroutine) })
	same(t, "what is lent", data, []byte("y"))
	stop = true
	waiter.Cancel()
	promise.Set(1, nil)
	cond.Signal()
	ends.Signal()
	held.r.Ready(nil)
	when(t, task, "they end", func() bool {
		return busy.Done() && waiter.Done() && grouped.Done() && waits.Done() && gets.Done() && holds.Done()
	})
	must(t, "Close", a.Close())
	must(t, "Close", b.Close())
	must(t, "Close", ln.Close())
	elsewhere(func() { // of one that is closed it says the same as on the loop
		wantErr(t, "Close of one that is closed", a.Close(), ErrWrongGoroutine)
		wantErr(t, "Cancel of one that has ended", refusal(waiter.Cancel), ErrWrongGoroutine)
	})
}

// readerFunc is a reader that calls it.
type readerFunc func() error

func (f readerFunc) Read([]byte) (int, error) { return 0, errors.Join(f(), io.EOF) }

// heldEvent waits for Ready.
type heldEvent struct{ r event.Reactor }

func (e *heldEvent) Register(r event.Reactor) error {
	e.r = r
	r.Hold()
	return nil
}

func (e *heldEvent) Resume(event.Reactor, *backend.Completion) (bool, error) { return false, nil }

// A handler is on the loop as well, whether it waits or not; another goroutine is not.
func TestForeignOfHandler(t *testing.T) {
	needsGoroutines(t)
	eachBackend(t, func(t *testing.T, name string) {
		g, err := NewGroup(WithBackend(name))
		must(t, "NewGroup", err)
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		calls := 0
		addr, err := g.Handle(ctx, "tcp", "127.0.0.1:0", func(c Conn) error {
			data, err := c.Next()
			if err != nil {
				return err
			}
			done := make(chan error)
			for range 2 {
				go func() { done <- c.Close() }()
				wantErr(t, "Close", <-done, ErrWrongGoroutine)
				if calls++; calls%2 == 1 {
					must(t, "Sleep", c.Task().Sleep(time.Microsecond))
				}
			}
			c.Write(data)
			return c.Flush()
		})
		must(t, "Handle", err)
		over := make(chan error, 1)
		go func() { over <- g.Run(ctx) }()
		for range 2 {
			c, err := net.Dial("tcp", addr.String())
			must(t, "Dial", err)
			for range 3 {
				fmt.Fprint(c, "x")
				_, err = c.Read(make([]byte, 1))
				must(t, "Read", err)
			}
			c.Close()
		}
		cancel()
		wantErr(t, "Run", <-over, context.Canceled)
	})
}

// An iterator that a task has made by iter.Pull is on the loop, whichever of its tasks resumes it: it may wait there.
// One of another goroutine may not.
func TestPullAcross(t *testing.T) {
	needsGoroutines(t)
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			lines := func(yield func(string) bool) {
				for {
					data, err := b.Next()
					if err != nil || !yield(string(data)) {
						return
					}
				}
			}
			next, stop := iter.Pull(lines)
			read := func(task Task) error {
				task.Go(func(Task) error { _, err := a.Write([]byte("message")); return err })
				if got, ok := next(); !ok || got != "message" {
					t.Errorf("next: %q, %v", got, ok)
				}
				must(t, "Sleep in the task", task.Sleep(time.Microsecond))
				must(t, "Flush in the task", a.Flush())
				return nil
			}
			must(t, "read", read(task))
			second := task.Go(read)
			when(t, task, "another task has read", second.Done)
			done := make(chan struct{})
			go func() { // which may have the memory of one that has ended
				defer close(done)
				wantErr(t, "Close", a.Close(), ErrWrongGoroutine)
			}()
			<-done
			stop()

			outside := func(yield func(error) bool) {
				_, err := b.Read(make([]byte, 1))
				_ = yield(err) && yield(task.Sleep(1)) && yield(refusal(waitsToCancel(task)))
			}
			go func() {
				defer task.Loop().Post(func() { a.Close() })
				n := 0
				for err := range outside {
					wantErr(t, "a range outside", err, ErrWrongGoroutine)
				}
				next, stop := iter.Pull(outside)
				defer stop()
				for err, ok := next(); ok; err, ok = next() {
					n++
					wantErr(t, "a Pull outside", err, ErrWrongGoroutine)
				}
				if n != 3 {
					t.Errorf("%d values, want 3", n)
				}
			}()
			_, err := b.Read(make([]byte, 1)) // the task itself waits, and a wait outside must not take its place
			wantErr(t, "Read", err, io.EOF)
			must(t, "Close", b.Close())
		})
	})
}

func waitsToCancel(task Task) func() { return task.Cancel }

// A goroutine that has the memory of a coroutine which has ended is no coroutine of the loop.
func TestForeignInOldMemory(t *testing.T) {
	needsGoroutines(t)
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			results := make(chan error)
			reused := 0
			for range 200 {
				var was uintptr
				next, stop := iter.Pull(func(yield func(error) bool) {
					was = goroutine.ID()
					must(t, "Sleep", task.Sleep(0))
					yield(a.Flush())
				})
				next()
				stop() // its memory is the next goroutine's, as a rule
				go func() {
					if goroutine.ID() == was {
						reused++
					}
					results <- a.Flush()
				}()
				wantErr(t, "Flush", <-results, ErrWrongGoroutine)
			}
			if reused == 0 {
				t.Error("no goroutine had the memory of an earlier one")
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}

// A primitive is its first loop's until that has ended. Before a loop runs, and after it has, its primitives are
// anybody's again.
func TestPrimitiveOfLoop(t *testing.T) {
	needsGoroutines(t)
	eachBackend(t, func(t *testing.T, name string) {
		q, m := NewQueue[int](10), new(Mutex)
		if !q.TryPut(1) || !m.TryLock() {
			t.Fatal("they are nobody's yet")
		}
		m.Unlock()
		for range 2 {
			run(t, name, func(task Task) {
				if !q.TryPut(2) { // which makes it the loop's
					t.Error("TryPut")
				}
				must(t, "Lock", m.Lock(task))
				m.Unlock()
				off(t, task, func() {
					wantErr(t, "TryLock", refusal(func() { m.TryLock() }), ErrWrongGoroutine)
					wantErr(t, "Len", refusal(func() { q.Len() }), ErrWrongGoroutine)
					run(t, name, func(other Task) {
						wantErr(t, "Lock by another loop", m.Lock(other), ErrWrongGoroutine)
						_, err := q.Get(other)
						wantErr(t, "Get by another loop", err, ErrWrongGoroutine)
					})
				})
			})
		}
	})
}
