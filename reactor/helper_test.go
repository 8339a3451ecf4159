package reactor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/backendtest"
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/testenv"
)

// limit bounds every wait of a test: far above what a busy machine needs, and below what a person bears.
const limit = 20 * time.Second

// own is the drivers under test; init adds one for each whose backends are spied on.
var own = backend.Drivers()

// spied is the prefix of the names of those.
const spied = "spied-"

func init() {
	for _, d := range own {
		open := d.Open
		d.Name = spied + d.Name
		d.Rank = 0
		d.Open = func(cfg backend.Config) (backend.Backend, error) {
			b, err := open(cfg)
			if err != nil {
				return nil, err
			}
			return newSpy(b), nil
		}
		backend.Register(d)
	}
}

func TestMain(m *testing.M) {
	if child := os.Getenv(childVar); child != "" {
		os.Exit(runChild(child))
	}
	os.Exit(m.Run())
}

// eachBackend runs test over every backend that this system has; name is what New takes. The backend is a spied one.
// Afterwards nothing may be left: no goroutine, no descriptor, no operation in flight, no lent buffer.
func eachBackend(t *testing.T, test func(t *testing.T, name string)) {
	t.Helper()
	eachDriver(t, func(t *testing.T, name string) {
		leavesNothing(t)
		test(t, spied+name)
	})
}

// eachDriver runs test over every backend that this system has, as it is. Only one that the system denies is skipped.
func eachDriver(t *testing.T, test func(t *testing.T, name string)) {
	t.Helper()
	for _, d := range own {
		name := fullName(d)
		t.Run(name, func(t *testing.T) {
			b, err := d.Open(backend.Config{})
			testenv.Need(t, name, err)
			b.Close()
			test(t, name)
		})
	}
}

func fullName(d backend.Driver) string {
	if d.Rung == "" {
		return d.Name
	}
	return d.Name + ":" + d.Rung
}

// spy is a backend that is checked for its contract, counts what is asked of it, and breaks when told to.
type spy struct {
	backend.Backend

	mu       sync.Mutex
	bad      []string // what was wrong
	flight   map[backend.Token]backend.Kind
	lent     map[backend.Lease]int
	asked    map[backend.Kind]int // operations submitted
	sends    []int                // bytes of each Send
	cancels  int
	piped    int // completions that lend a pipe
	polls    int
	wakes    int
	closed   bool
	startErr error // what Start is to return
	pollErr  error // what Poll is to return from now on; what is in flight then is left there
	sendErr  error // with which each Send is to end from now on, as if nothing had been sent

	acceptErr error // of the connection that comes next, in place of that
}

var spies struct {
	sync.Mutex
	list []*spy // of the test that runs
}

func newSpy(b backend.Backend) *spy {
	s := &spy{flight: map[backend.Token]backend.Kind{}, lent: map[backend.Lease]int{}, asked: map[backend.Kind]int{}}
	s.Backend = backendtest.Checked(b, func(msg string) {
		s.mu.Lock()
		s.bad = append(s.bad, msg)
		s.mu.Unlock()
	})
	spies.Lock()
	spies.list = append(spies.list, s)
	spies.Unlock()
	return s
}

// spyOn finds a loop's spy.
func spyOn(l *Loop) *spy { return l.backend.(*spy) }

func (s *spy) Start() error {
	if s.startErr != nil {
		return s.startErr
	}
	return s.Backend.Start()
}

func (s *spy) Submit(op *backend.Op) backend.Token {
	if s.acceptErr != nil && op.Kind == backend.Accept {
		once := *op
		once.Multishot = false
		op = &once
	}
	token := s.Backend.Submit(op)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight[token] = op.Kind
	s.asked[op.Kind]++
	if op.Kind == backend.Send {
		n := len(op.Buf)
		for _, b := range op.Bufs {
			n += len(b)
		}
		s.sends = append(s.sends, n)
	}
	return token
}

func (s *spy) Cancel(token backend.Token) {
	s.mu.Lock()
	s.cancels++
	s.mu.Unlock()
	s.Backend.Cancel(token)
}

func (s *spy) Poll(dst []backend.Completion, until time.Duration) (int, error) {
	s.mu.Lock()
	s.polls++
	err := s.pollErr
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := s.Backend.Poll(dst, until)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range dst[:n] {
		if s.sendErr != nil && s.flight[dst[i].Token] == backend.Send {
			dst[i].N, dst[i].Err = 0, s.sendErr
		}
		if s.acceptErr != nil && s.flight[dst[i].Token] == backend.Accept && dst[i].N >= 0 {
			unix.Close(dst[i].N)
			dst[i].N, dst[i].Err, s.acceptErr = -1, s.acceptErr, nil
		}
		if !dst[i].More {
			delete(s.flight, dst[i].Token)
		}
		if dst[i].Lease != 0 {
			s.lent[dst[i].Lease] = len(dst[i].Data)
			if dst[i].Data == nil {
				s.piped++
			}
		}
	}
	return n, err
}

func (s *spy) Release(l backend.Lease) {
	s.mu.Lock()
	delete(s.lent, l)
	s.mu.Unlock()
	s.Backend.Release(l)
}

func (s *spy) Wake() {
	s.mu.Lock()
	s.wakes++
	s.mu.Unlock()
	s.Backend.Wake()
}

func (s *spy) Close() error {
	s.mu.Lock()
	if s.pollErr == nil && !s.closed {
		for _, kind := range s.flight {
			s.bad = append(s.bad, fmt.Sprintf("%v is in flight at the end", kind))
		}
		for _, n := range s.lent {
			s.bad = append(s.bad, fmt.Sprintf("a buffer with %d bytes is lent at the end", n))
		}
	}
	s.closed = true
	s.mu.Unlock()
	return s.Backend.Close()
}

// counts calls look while nothing changes.
func (s *spy) counts(look func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look()
}

// leavesNothing fails a test, when it is over, that leaves something behind or breaks a backend's contract.
func leavesNothing(t *testing.T) {
	t.Helper()
	warm()
	spies.Lock()
	spies.list = nil
	spies.Unlock()
	fds, goroutines := descriptors(), runtime.NumGoroutine()
	t.Cleanup(func() {
		spies.Lock()
		list := spies.list
		spies.list = nil
		spies.Unlock()
		for _, s := range list {
			s.counts(func() {
				for _, msg := range s.bad[:min(len(s.bad), 10)] {
					t.Error(msg)
				}
				if !s.closed {
					t.Error("a backend is left open")
				}
			})
		}
		if t.Failed() {
			return
		}
		var now map[string]string
		if !eventually(func() bool { now = descriptors(); return len(fresher(now, fds)) == 0 }) {
			t.Errorf("descriptors are left: %v", fresher(now, fds))
		}
		if !eventually(func() bool { return runtime.NumGoroutine() <= goroutines }) {
			t.Errorf("there were %d goroutines, and are %d:\n%s", goroutines, runtime.NumGoroutine(), stacks())
		}
	})
}

// fresher is what now has and before had not.
func fresher(now, before map[string]string) map[string]string {
	now = maps.Clone(now)
	maps.DeleteFunc(now, func(fd, what string) bool { return before[fd] == what })
	return now
}

// warm has the runtime open and start what it keeps: descriptors for its network poller, a goroutine for signals.
var warm = sync.OnceFunc(func() {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
	time.Sleep(time.Nanosecond)
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGUSR2)
	signal.Stop(c)
})

// eventually waits until ok, for two or three seconds at most.
func eventually(ok func() bool) bool {
	for pause := 100 * time.Microsecond; pause < time.Second; pause += pause / 2 {
		if ok() {
			return true
		}
		time.Sleep(pause)
	}
	return ok()
}

// stacks is those of the first goroutines.
func stacks() []byte {
	buf := make([]byte, 8<<10)
	return buf[:runtime.Stack(buf, true)]
}

// testLoop makes a loop for a test.
func testLoop(t testing.TB, name string, opts ...Option) *Loop {
	t.Helper()
	l, err := New(append([]Option{WithBackend(name)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// undebugged turns off debug mode, which the environment may have turned on, for a test of what a loop costs without it.
func undebugged(t *testing.T) {
	t.Helper()
	t.Setenv(debugVar, "")
}

var errFailed = errors.New("the test has failed")

// runLoop runs a loop whose first task is body, which may call t.Fatal, and returns what Run does.
func runLoop(t testing.TB, l *Loop, body func(Task) error) error {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	err := l.Go(func(task Task) error {
		over := false
		defer func() {
			if !over && t.Failed() { // others would wait for this task
				cancel(errFailed)
			}
		}()
		err := body(task)
		over = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return runUntil(t, l, ctx)
}

// runUntil runs a loop until ctx ends, which is soon.
func runUntil(t testing.TB, l *Loop, ctx context.Context) error {
	t.Helper()
	watchdog := time.AfterFunc(limit, func() {
		debug.SetTraceback("all")
		panic(t.Name() + " hangs: Run has not returned")
	})
	defer watchdog.Stop()
	return l.Run(ctx)
}

// run runs body as the first task of a new loop, until no task is left.
func run(t testing.TB, name string, body func(Task), opts ...Option) {
	t.Helper()
	l := testLoop(t, name, opts...)
	if err := runLoop(t, l, func(task Task) error { body(task); return nil }); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// pair connects two connections of one loop.
func pair(t testing.TB, task Task) (Conn, Conn) {
	t.Helper()
	return pairOf(t, task, ListenConfig{}, "127.0.0.1:0")
}

func pairOf(t testing.TB, task Task, cfg ListenConfig, address string) (dialed, accepted Conn) {
	t.Helper()
	ln, err := cfg.Listen(task, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := Dial(task, "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// peered connects a connection of the loop with one of package net, which ends with the test.
func peered(t testing.TB, task Task, cfg ListenConfig, address string) (Conn, *net.TCPConn) {
	t.Helper()
	ln, err := cfg.Listen(task, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String()) // the system completes it without us
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	peer.SetDeadline(time.Now().Add(limit))
	c, err := ln.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	return c, peer.(*net.TCPConn)
}

// off runs work, which may block, on a goroutine of its own, while the task waits for it.
func off(t testing.TB, task Task, work func()) {
	t.Helper()
	if err := task.Await(&offloaded{loop: task.Loop(), work: work}); err != nil {
		t.Errorf("Await: %v", err)
	}
}

// offloaded is the end of work that runs on a goroutine of its own; unlike with Offload there may be as many as a
// test wants.
type offloaded struct {
	loop *Loop
	work func()
}

// Register implements event.Event.
func (e *offloaded) Register(r event.Reactor) error {
	r.Hold()
	go func() {
		defer e.loop.mustPost(func() { r.Ready(nil) }) // also if work calls t.Fatal
		e.work()
	}()
	return nil
}

// Resume implements event.Event.
func (e *offloaded) Resume(event.Reactor, *backend.Completion) (bool, error) { return false, nil }

// when waits until ok, looking once a turn.
func when(t testing.TB, task Task, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); {
		if time.Since(began) > limit/2 {
			t.Fatalf("it never came about that %s", what)
		}
		if err := task.Sleep(50 * time.Microsecond); err != nil {
			t.Fatal(err)
		}
	}
}

// wantErr fails a test whose error is another.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// must fails a test that had an error.
func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// pattern is n bytes that tell where in a stream they stand. The race detector would make it slow, and learn nothing.
//
//go:norace
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

// same fails a test whose bytes are others, and says where.
func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	t.Errorf("%s: %d bytes, want %d; they differ from byte %d on", what, len(got), len(want), n)
}

// newPipe makes a pipe without blocking. Its ends are the caller's to close.
func newPipe(t testing.TB) (r, w int) {
	t.Helper()
	var fds [2]int
	must(t, "pipe", unix.Pipe(fds[:]))
	for _, fd := range fds {
		must(t, "set", unix.SetNonblock(fd, true))
	}
	return fds[0], fds[1]
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }
