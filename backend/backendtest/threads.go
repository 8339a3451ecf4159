//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"runtime"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// threadTests are about which thread a backend belongs to.
var threadTests = []test{
	{name: "opened_elsewhere", body: openedElsewhere},
	{name: "two_backends", body: twoBackends, everyNet: true},
}

// elsewhere runs f on a thread of its own, which is gone after it.
func elsewhere(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// another opens a second backend for the calling goroutine, which must be locked to its thread.
func (r *rig) another(open func() (backend.Backend, error)) *rig {
	b, err := open()
	r.ok("open", err)
	o := &rig{TB: r.TB, net: r.net, open: r.open, opts: r.opts, records: make(map[backend.Token]*record), began: time.Now()}
	o.use(b)
	return o
}

// openedElsewhere has one thread open a backend, which is then gone, and another start and drive it.
func openedElsewhere(r *rig) {
	o := r.another(func() (b backend.Backend, err error) {
		elsewhere(func() { b, err = r.open(r.opts.cfg) })
		return b, err
	})
	defer func() { r.ok("Close of the backend", o.b.Close()) }()
	r.ok("Start", o.b.Start())
	a, b := r.pair()
	t := o.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	for i := range 10 {
		r.put(b, pattern(i, 10))
		r.wantBytes("what came", o.stream(t, 10), pattern(i, 10))
	}
	o.closeFD(a)
	r.disown(a)
	o.want(t, 0, backend.ErrClosed)
}

// twoBackends has two of them, each on its thread, talk to each other and wake each other.
func twoBackends(r *rig) {
	const n = 500
	a, b := r.pair()
	talk := func(r *rig, fd int, first bool) {
		t := r.submit(backend.Op{Kind: backend.Recv, FD: fd, Multishot: true})
		for i := range n {
			if first {
				r.want(r.submit(backend.Op{Kind: backend.Send, FD: fd, Buf: pattern(i, 100)}), 100, nil)
			}
			r.wantBytes("what came", r.stream(t, 100), pattern(i, 100))
			if !first {
				r.want(r.submit(backend.Op{Kind: backend.Send, FD: fd, Buf: pattern(i, 100)}), 100, nil)
			}
		}
		r.cancel(t)
		r.want(t, 0, backend.ErrCanceled)
	}
	second := make(chan backend.Backend, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(second)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		o := r.another(func() (backend.Backend, error) { return r.open(r.opts.cfg) })
		defer func() { o.b.Close() }()
		o.ok("Start", o.b.Start())
		second <- o.b
		talk(o, b, false)
		for range 20 {
			r.b.Wake()
			o.poll(o.in(time.Millisecond))
		}
	}()
	if other, ok := <-second; ok {
		talk(r, a, true)
		for range 20 {
			other.Wake()
			r.poll(r.in(time.Millisecond))
		}
	}
	<-done
}
