//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// limit bounds every wait of a test: far above what a busy machine needs, and below what a person bears. A variable for
// the tests of the suite itself, which see it fail.
var limit = 20 * time.Second

// forever is how long a test may hang in one call before its process dies, with the stacks that show where.
const forever = time.Minute

// moment is how long a test watches for what must not happen.
const moment = 5 * time.Millisecond

// rig is one open backend with a test's descriptors and completions.
type rig struct {
	testing.TB
	net     network
	b       backend.Backend
	checked *checked
	open    Open
	opts    options

	dst     []backend.Completion
	records map[backend.Token]*record
	fds     []int // to be closed in the end
	ends    []func()
	began   time.Time
}

// record is what came of one operation and was not taken yet.
type record struct {
	op    backend.Op
	queue []backend.Completion
	final bool // the last one of queue is, or was, the final one
}

// options is what a test asks of its rig.
type options struct {
	cfg   backend.Config
	batch int  // the length of dst; 0 for 256
	raw   bool // without Checked, for what measures
	dirty bool // the test ends with operations in flight or leases out, on purpose
}

// sink tells operations apart, and fails a test whose backend calls it.
type sink struct {
	t testing.TB
	_ byte
}

func (s *sink) Complete(*backend.Completion) {
	s.t.Error("the backend called Complete: law 6, it carries a Sink only")
}

// drive opens a backend on this goroutine's thread, runs body and closes everything.
func drive(t testing.TB, open Open, net network, opts options, body func(r *rig)) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	warm()
	watchdog := time.AfterFunc(forever, func() {
		debug.SetTraceback("all")
		panic("backendtest: " + t.Name() + " hangs: a Poll that should have returned long ago has not")
	})
	defer watchdog.Stop()
	fds, goroutines := descriptors(), runtime.NumGoroutine()

	r := &rig{TB: t, net: net, open: open, opts: opts, records: make(map[backend.Token]*record), began: time.Now()}
	defer func() {
		if !t.Failed() {
			unchanged(t, fds, goroutines)
		}
	}()
	b, err := open(opts.cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	// A Fatal in body unwinds through here, and must leave nothing that the next test could stumble over.
	defer func() {
		if err := r.b.Close(); err != nil {
			t.Errorf("Close of the backend: %v", err)
		}
		for _, fd := range r.fds {
			unix.Close(fd)
		}
		for _, f := range slices.Backward(r.ends) {
			f()
		}
	}()
	r.use(b)
	r.ok("Start", r.b.Start())
	body(r)
	if !opts.dirty && !opts.raw && !t.Failed() {
		r.tidy()
	}
}

// warm has the runtime start what it keeps: descriptors for the first timer, a goroutine for the first signal.
var warm = sync.OnceFunc(func() {
	time.Sleep(time.Nanosecond)
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGPIPE)
	signal.Stop(ch)
})

// use takes b, checked unless the test wants it bare.
func (r *rig) use(b backend.Backend) {
	r.b = b
	if !r.opts.raw {
		r.checked = newChecked(b, func(msg string) { r.Errorf("%s", msg) })
		r.checked.sums = true
		r.b = r.checked
	}
	n := r.opts.batch
	if n == 0 {
		n = 256
	}
	r.dst = make([]backend.Completion, n)
}

// tidy closes what the backend has worked on, as op.go says of Close, and looks for what is left.
func (r *rig) tidy() {
	r.Helper()
	used := map[int]bool{}
	for _, rec := range r.records {
		used[rec.op.FD] = true
	}
	for _, fd := range slices.Clone(r.fds) {
		if used[fd] {
			r.closeFD(fd)
		}
	}
	if n := r.checked.inFlight; n != 0 {
		r.Errorf("%d operations are in flight after all descriptors were closed", n)
	}
	if n := len(r.checked.lent); n != 0 {
		r.Errorf("the test left %d leases unreleased", n)
	}
	for tok, rec := range r.records {
		for _, c := range rec.queue {
			if c.Lease != 0 || c.Err == nil && rec.op.Kind == backend.Accept {
				r.Errorf("the test did not look at a completion of %v, token %#x: %s", describe(&rec.op), uint64(tok), show(&c))
			}
		}
	}
}

// unchanged fails where descriptors or goroutines are not what they were. Both may lag a little: a worker of the
// kernel's or a goroutine on its way out.
func unchanged(t testing.TB, fds map[int]string, goroutines int) {
	t.Helper()
	var now map[int]string
	n := 0
	for wait := time.Millisecond; wait < min(limit, 2*time.Second); wait *= 2 {
		now, n = descriptors(), runtime.NumGoroutine()
		if maps.Equal(fds, now) && n <= goroutines {
			return
		}
		time.Sleep(wait)
	}
	for fd, what := range now {
		if was, ok := fds[fd]; !ok {
			t.Errorf("descriptor %d is left open: %s", fd, what)
		} else if was != what {
			t.Errorf("descriptor %d was %s, and is %s now", fd, was, what)
		}
	}
	for fd, what := range fds {
		if _, ok := now[fd]; !ok {
			t.Errorf("descriptor %d, not the test's, was closed: %s", fd, what)
		}
	}
	if n > goroutines {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines are left:\n%s", n-goroutines, stacks[:runtime.Stack(stacks, true)])
	}
}

// ok fails the test where err is not nil.
func (r *rig) ok(what string, err error) {
	if err != nil {
		r.Helper()
		r.Fatalf("%s: %v", what, err)
	}
}

// adopt has fd closed in the end.
func (r *rig) adopt(fd int) int {
	r.fds = append(r.fds, fd)
	return fd
}

// disown forgets fd: it was closed.
func (r *rig) disown(fd int) {
	if i := slices.Index(r.fds, fd); i >= 0 {
		r.fds = slices.Delete(r.fds, i, i+1)
	}
}

// shut closes a descriptor on which no operation was submitted.
func (r *rig) shut(fd int) {
	r.Helper()
	r.disown(fd)
	r.ok("close", unix.Close(fd))
}

func (r *rig) atEnd(f func()) { r.ends = append(r.ends, f) }

// in gives the time d from now on the backend's clock.
func (r *rig) in(d time.Duration) time.Duration { return r.b.Now() + d }

// submit submits op with a sink of its own.
func (r *rig) submit(op backend.Op) backend.Token {
	r.Helper()
	if op.Sink == nil {
		op.Sink = &sink{t: r.TB}
	}
	t := r.b.Submit(&op)
	if old := r.records[t]; old != nil && !old.final {
		r.Fatalf("Submit returned token %#x, which is in flight", uint64(t))
	}
	r.records[t] = &record{op: op}
	return t
}

func (r *rig) cancel(t backend.Token) { r.b.Cancel(t) }

// poll calls Poll once and files what it returns.
func (r *rig) poll(until time.Duration) int {
	r.Helper()
	return r.pollInto(r.dst, until)
}

func (r *rig) pollInto(dst []backend.Completion, until time.Duration) int {
	r.Helper()
	n, err := r.b.Poll(dst, until)
	r.ok("Poll", err)
	for _, c := range dst[:n] {
		rec := r.records[c.Token]
		if rec == nil {
			r.Fatalf("a completion of no operation: %s", show(&c))
			return n
		}
		rec.queue = append(rec.queue, c)
		rec.final = !c.More
		if c.Err == nil && rec.op.Kind == backend.Accept {
			r.adopt(c.N)
		}
	}
	return n
}

// breathe polls for a short while, within the limit of the whole test.
func (r *rig) breathe(what string) {
	r.Helper()
	if time.Since(r.began) > limit {
		r.Fatalf("waited %v for %s", limit, what)
	}
	r.poll(r.in(time.Millisecond))
}

// next takes the next completion of t, polling for it.
func (r *rig) next(t backend.Token) backend.Completion {
	r.Helper()
	rec := r.records[t]
	for until := r.in(limit); len(rec.queue) == 0; {
		if rec.final {
			r.Fatalf("%s has had its final completion", describe(&rec.op))
		}
		if r.poll(until) == 0 && r.b.Now() >= until {
			r.Fatalf("%s has no completion after %v", describe(&rec.op), limit)
		}
	}
	c := rec.queue[0]
	rec.queue = rec.queue[1:]
	return c
}

// finish takes the final completion of t, polling for it; those before it must have been taken.
func (r *rig) finish(t backend.Token) backend.Completion {
	r.Helper()
	c := r.next(t)
	if c.More {
		r.Fatalf("%s has %s; want its final completion", describe(&r.records[t].op), show(&c))
	}
	return c
}

// want takes the final completion of t and compares it.
func (r *rig) want(t backend.Token, n int, err error) backend.Completion {
	r.Helper()
	c := r.finish(t)
	if c.N != n || c.Err != err {
		r.Errorf("%s has %s; want N %d, err %v", describe(&r.records[t].op), show(&c), n, err)
	}
	return c
}

// run submits op and takes its final completion.
func (r *rig) run(op backend.Op) backend.Completion {
	r.Helper()
	return r.finish(r.submit(op))
}

// closeFD closes fd through the backend.
func (r *rig) closeFD(fd int) {
	r.Helper()
	r.want(r.submit(backend.Op{Kind: backend.Close, FD: fd}), 0, nil)
	r.disown(fd)
}

// wantPending watches for a moment that t does not complete.
func (r *rig) wantPending(t backend.Token) {
	r.Helper()
	for until := r.in(moment); r.b.Now() < until; {
		r.poll(until)
	}
	if rec := r.records[t]; len(rec.queue) > 0 {
		r.Fatalf("%s has %s; want it pending", describe(&rec.op), show(&rec.queue[0]))
	}
}

// settle polls until nothing comes for a moment.
func (r *rig) settle() {
	r.Helper()
	for r.poll(r.in(moment)) > 0 {
	}
}

// comes polls until t has a completion, or nothing comes for a moment, and says which.
func (r *rig) comes(t backend.Token) bool {
	r.Helper()
	rec := r.records[t]
	for len(rec.queue) == 0 && r.poll(r.in(moment)) > 0 {
	}
	return len(rec.queue) > 0
}

// stream takes lent bytes of t until it has n of them, giving each lease back, and returns them.
func (r *rig) stream(t backend.Token, n int) []byte {
	r.Helper()
	var all []byte
	for len(all) < n {
		c := r.next(t)
		if c.Err != nil {
			r.Fatalf("%s has %s after %d bytes of %d", describe(&r.records[t].op), show(&c), len(all), n)
		}
		all = append(all, c.Data...)
		r.b.Release(c.Lease)
	}
	return all
}

// lent gives the bytes that c lends, out of the pipe where that is where they are. The lease stays the test's to release.
func (r *rig) lent(c *backend.Completion) []byte {
	r.Helper()
	if c.Data != nil || c.Lease == 0 {
		return c.Data
	}
	p := make([]byte, c.N)
	if n := r.b.Fetch(c.Lease, p); n != c.N {
		r.Fatalf("Fetch moved %d bytes of %s", n, show(c))
	}
	return p
}

// pattern gives n bytes of an endless text from offset on, in which any byte that is missing, doubled or out of place
// shows. The race detector would make it slow, and learn nothing.
//
//go:norace
func pattern(offset, n int) []byte {
	p := make([]byte, n)
	i := 0
	for ; i < n && (offset+i)&3 != 0; i++ {
		p[i] = patternByte(offset + i)
	}
	for ; i+4 <= n; i += 4 {
		binary.LittleEndian.PutUint32(p[i:], patternWord(offset+i))
	}
	for ; i < n; i++ {
		p[i] = patternByte(offset + i)
	}
	return p
}

//go:norace
func patternByte(i int) byte {
	return byte(patternWord(i) >> (8 * (uint(i) & 3)))
}

func patternWord(i int) uint32 { return uint32(i>>2) * 0x9e3779b1 }

// wantBytes compares data and says where it differs first.
func (r *rig) wantBytes(what string, got, want []byte) {
	if bytes.Equal(got, want) {
		return
	}
	r.Helper()
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	r.Fatalf("%s: %d bytes, want %d; they differ from byte %d on: %s, want %s", what, len(got), len(want), i, at(got, i), at(want, i))
}

func at(p []byte, i int) string { return fmt.Sprintf("%x", p[i:min(i+16, len(p))]) }
