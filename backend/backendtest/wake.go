//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// wakeTests are about how Poll waits, and about Wake, the one call that comes from anywhere.
var wakeTests = []test{
	{name: "until_past", body: untilPast},
	{name: "until_future", body: untilFuture},
	{name: "until_far", body: untilFar},
	{name: "until_with_traffic", body: untilWithTraffic},
	{name: "before_poll", body: wakeBefore},
	{name: "during_poll", body: wakeDuring},
	{name: "with_completions", body: wakeWithCompletions},
	{name: "many_count_once", body: wakeCoalesced},
	{name: "none_lost", body: wakeNoneLost},
	{name: "from_many", body: wakeFromMany},
	{name: "while_busy", body: wakeWhileBusy},
	{name: "after_close", body: wakeAfterClose, options: options{dirty: true}},
	{name: "while_closing", body: wakeWhileClosing, options: options{dirty: true}},
	{name: "clock", body: clock},
}

// promptly fails the test if f takes as long as no working backend takes.
func (r *rig) promptly(what string, f func()) {
	r.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > limit/2 {
		r.Fatalf("%s took %v", what, took)
	}
}

// untilPast has Poll return at once, with operations pending and without.
func untilPast(r *rig) {
	r.promptly("a thousand Polls that need not wait", func() {
		for i := range 1000 {
			if i == 500 {
				a, _ := r.pair()
				r.submit(backend.Op{Kind: backend.Recv, FD: a})
			}
			for _, until := range []time.Duration{0, -1, 1, r.b.Now(), -backend.Forever} {
				if n := r.poll(until); n != 0 {
					r.Fatalf("Poll returned %d completions of nothing", n)
				}
			}
		}
	})
	if n := r.pollInto(nil, 0); n != 0 {
		r.Errorf("Poll returned %d completions where there is no room for any", n)
	}
}

// untilFuture has Poll wait as long as it should. The wrapper holds that it does not return early.
func untilFuture(r *rig) {
	for _, d := range []time.Duration{1, time.Microsecond, 700 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 4 * moment} {
		for range 3 {
			r.promptly("a Poll of "+d.String(), func() { r.poll(r.in(d)) })
		}
	}
}

// untilFar has Poll wait for what no kernel's timeout holds, be it 32 bits of seconds or a limit of its own.
func untilFar(r *rig) {
	const year = 365 * 24 * time.Hour
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	for _, d := range []time.Duration{4 * year, 70 * year, 100 * year, backend.Forever - 1} {
		until := max(d, r.in(d)) // which may overflow
		go func() {
			time.Sleep(moment)
			r.b.Wake()
		}()
		r.promptly("a Poll with a Wake during it", func() { r.poll(until) })
		r.put(b, []byte("x"))
		r.promptly("a Poll with something to receive", func() {
			for len(r.records[t].queue) == 0 {
				r.poll(until)
			}
		})
		r.stream(t, 1)
	}
}

// untilWithTraffic has what came earlier, and what was canceled, cut no later wait short.
func untilWithTraffic(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	for i := range 10 {
		r.put(b, pattern(i, 10))
		r.stream(t, 10)
		other := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLPRI})
		r.poll(r.in(time.Millisecond))
		r.cancel(other)
		r.want(other, 0, backend.ErrCanceled)
		r.cancel(other)
		r.poll(r.in(time.Millisecond))
	}
}

func wakeBefore(r *rig) {
	for range 100 {
		r.b.Wake()
		r.promptly("a Poll after Wake", func() { r.poll(backend.Forever) })
	}
	done := make(chan struct{})
	go func() { r.b.Wake(); close(done) }()
	<-done
	r.promptly("a Poll after another goroutine's Wake", func() { r.poll(backend.Forever) })
}

func wakeDuring(r *rig) {
	for i := range 20 {
		go func() {
			time.Sleep(time.Duration(i%3) * time.Millisecond)
			r.b.Wake()
		}()
		r.promptly("a Poll with a Wake during it", func() { r.poll(backend.Forever) })
	}
}

func wakeWithCompletions(r *rig) {
	a, b := r.pair()
	for i := range 200 {
		t := r.submit(backend.Op{Kind: backend.Recv, FD: a})
		if i%2 == 0 {
			r.b.Wake()
			r.put(b, pattern(i, 5))
		} else {
			r.put(b, pattern(i, 5))
			r.b.Wake()
		}
		r.wantBytes("what came", r.stream(t, 5), pattern(i, 5))
	}
}

// wakeCoalesced has a thousand Wakes make one Poll return, or a few; after them Poll waits again.
func wakeCoalesced(r *rig) {
	for range 1000 {
		r.b.Wake()
	}
	until := r.in(4 * moment)
	returns := 0
	for ; r.b.Now() < until; returns++ {
		r.poll(until)
	}
	if returns > 10 {
		r.Errorf("a thousand Wakes before it made Poll return %d times; want them to count once", returns)
	}
}

// wakeNoneLost hands numbers over, one at a time: should one Wake be lost, Poll waits for ever.
func wakeNoneLost(r *rig) {
	n := int64(20_000)
	if testenv.Race {
		n = 5_000
	}
	var asked, answered atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := int64(1); i <= n; i++ {
			asked.Store(i)
			r.b.Wake()
			for spins := 0; answered.Load() < i; spins++ {
				if spins > 100 { // let the other side wait now and then, and now and then not
					runtime.Gosched()
				}
			}
		}
	}()
	for i := int64(1); i <= n; i++ {
		for asked.Load() < i {
			until := r.in(limit)
			if r.poll(until); r.b.Now() >= until {
				answered.Store(n)
				r.Fatalf("Wake %d was lost: Poll did not return for %v", i, limit)
			}
		}
		answered.Store(i)
	}
	<-done
}

func wakeFromMany(r *rig) {
	const goroutines, each = 8, 2000
	var posted atomic.Int64
	for range goroutines {
		go func() {
			for i := range each {
				posted.Add(1)
				r.b.Wake()
				if i%64 == 0 {
					time.Sleep(100 * time.Microsecond)
				}
			}
		}()
	}
	for posted.Load() < goroutines*each {
		until := r.in(limit)
		if r.poll(until); r.b.Now() >= until {
			r.Fatalf("Poll did not return for %v while others called Wake", limit)
		}
	}
}

// wakeWhileBusy has Wakes and data come in at once, none in the way of the other.
func wakeWhileBusy(r *rig) {
	a, b := r.pair()
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			r.b.Wake()
			runtime.Gosched()
		}
	})
	defer wg.Wait()
	defer stop.Store(true)
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	for i := range 1000 {
		r.put(b, pattern(i, 20))
		r.wantBytes("what came", r.stream(t, 20), pattern(i, 20))
	}
}

// wakeAfterClose calls Wake when the backend is gone and others have its descriptor numbers, who must not notice.
func wakeAfterClose(r *rig) {
	r.poll(0)
	r.ok("Close of the backend", r.b.Close())
	r.wantUntouched(func() {
		for range 1000 {
			r.b.Wake()
		}
	})
}

// wantUntouched opens pipes that get all free descriptor numbers, and looks whether f writes to one.
func (r *rig) wantUntouched(f func()) {
	r.Helper()
	var ins []int
	for range 20 {
		in, _ := r.pipe()
		ins = append(ins, in)
	}
	f()
	for _, in := range ins {
		var p [16]byte
		if n, err := unix.Read(in, p[:]); err != unix.EAGAIN {
			r.Fatalf("a Wake after Close wrote to a descriptor that is another's: read %d, %v", n, err)
		}
	}
}

func wakeWhileClosing(r *rig) {
	rounds := 40
	for i := range rounds {
		b, err := r.open(r.opts.cfg)
		r.ok("open", err)
		if i%2 == 0 {
			r.ok("Start", b.Start())
			if _, err := b.Poll(r.dst, 0); err != nil {
				r.Fatalf("Poll: %v", err)
			}
		}
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for !stop.Load() {
					b.Wake()
				}
			})
		}
		runtime.Gosched()
		r.ok("Close", b.Close())
		r.wantUntouched(func() {
			runtime.Gosched()
			stop.Store(true)
			wg.Wait()
		})
		for len(r.fds) > 0 {
			r.shut(r.fds[0])
		}
	}
}

// clock has Now run as time does, from any goroutine.
func clock(r *rig) {
	last := r.b.Now()
	for range 1000 {
		now := r.b.Now()
		if now < last {
			r.Fatalf("Now went back from %v to %v", last, now)
		}
		last = now
	}
	if last < 0 {
		r.Errorf("Now is %v; until 0 has always passed", last)
	}
	began := time.Now()
	time.Sleep(4 * moment)
	took, ticked := time.Since(began), r.b.Now()-last
	if ticked < 4*moment-time.Millisecond || ticked > took+limit/4 {
		r.Errorf("Now went on by %v in %v", ticked, took)
	}
}
