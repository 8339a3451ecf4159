//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// shutBackend closes the backend and minds the time and that the test's own descriptors stay open.
func (r *rig) shutBackend() {
	r.Helper()
	began := time.Now()
	r.ok("Close of the backend", r.b.Close())
	if took := time.Since(began); took > limit/4 {
		r.Errorf("Close of the backend took %v", took)
	}
	for _, fd := range r.fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			r.Errorf("descriptor %d is not the backend's, but was closed: %v", fd, err)
		}
	}
}

// closeBackend has all there is in flight. The descriptors are their owners', who go on with them.
func closeBackend(r *rig) {
	for _, op := range r.waiting() {
		r.submit(op)
		r.submit(op)
	}
	if r.net != unixNet {
		r.submit(r.stuckConnect())
	}
	_, _, ops := r.onOne()
	for _, op := range ops {
		r.submit(op)
	}
	a, b := r.pair()
	r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	r.settle()
	r.shutBackend()
	r.put(b, []byte("hello"))
	var p [5]byte
	r.get(a, p[:])
	r.wantBytes("what came after the backend's end", p[:], []byte("hello"))
}

func closeBackendUnsubmitted(r *rig) {
	for _, op := range r.waiting() {
		r.submit(op)
	}
	r.shutBackend()
}

// closeBackendAccepted leaves descriptors with the backend that nobody was told of. It must close them.
func closeBackendAccepted(r *rig) {
	ln, addr := r.listen(100)
	t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
	ln2, addr2 := r.listen(100)
	r.submit(backend.Op{Kind: backend.Accept, FD: ln2})
	r.poll(0)
	for range 40 {
		r.dial(addr)
	}
	r.dial(addr2)
	one := make([]backend.Completion, 1)
	for range 5 {
		r.pollInto(one, r.in(limit))
	}
	if len(r.records[t].queue) == 0 {
		r.Errorf("nothing was accepted")
	}
	r.shutBackend()
}

func closeBackendClosing(r *rig) {
	for range 5 {
		a, _ := r.pair()
		for _, op := range recvOps(a) {
			r.submit(op)
		}
		r.poll(0)
		r.submit(backend.Op{Kind: backend.Close, FD: a})
	}
	// Whether a Close that was never polled for is carried out is open, so the descriptors are closed again in the end.
	began := time.Now()
	r.ok("Close of the backend", r.b.Close())
	if took := time.Since(began); took > limit/4 {
		r.Errorf("Close of the backend took %v", took)
	}
}

func closeBackendLeases(r *rig) {
	a, b := r.pair()
	r.put(b, pattern(0, 1000))
	r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	r.settle()
	r.shutBackend()
}

func closeNeverStarted(r *rig) {
	for range 3 {
		b, err := r.open(r.opts.cfg)
		r.ok("open", err)
		done := make(chan error)
		go func() {
			b.Wake()
			b.Now()
			b.Caps()
			done <- b.Close()
		}()
		r.ok("Close of a backend never started, from another thread", <-done)
		r.ok("a second Close", b.Close())
	}
}

func closeTwice(r *rig) {
	a, _ := r.pair()
	r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	r.poll(0)
	r.shutBackend()
	// A second Close must not close what has got the backend's numbers since.
	for range 10 {
		r.pair()
	}
	r.shutBackend()
}
