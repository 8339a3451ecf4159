//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// pollTests are about the Poll operation, which waits for readiness and moves nothing.
var pollTests = []test{
	{name: "readable", body: pollReadable, everyNet: true},
	{name: "writable", body: pollWritable, everyNet: true},
	{name: "only_what_was_asked", body: pollOnlyAsked, everyNet: true},
	{name: "hangup", body: pollHangup, everyNet: true},
	{name: "no_events", body: pollNoEvents},
	{name: "error", body: pollError},
	{name: "many_on_one", body: pollMany, everyNet: true},
	{name: "beside_others", body: pollBeside, everyNet: true},
	{name: "again_and_again", body: pollAgain, everyNet: true},
	{name: "listener", body: pollListener, everyNet: true},
}

func pollReadable(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN})
	r.wantPending(t)
	r.put(b, []byte("x"))
	r.want(t, unix.POLLIN, nil)
	// It took nothing, so it is true still.
	r.want(r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN}), unix.POLLIN, nil)
	r.want(r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 10)}), 1, nil)
	t = r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN})
	r.wantPending(t)
	r.shutWrite(b) // the end can be read, too
	r.want(t, unix.POLLIN, nil)
}

func pollWritable(r *rig) {
	a, _ := r.pair()
	r.want(r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLOUT}), unix.POLLOUT, nil)
	a, b := r.unixPair()
	r.fill(a)
	t := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLOUT})
	r.wantPending(t)
	r.drain(b, make([]byte, 1<<20))
	r.want(t, unix.POLLOUT, nil)
}

func pollOnlyAsked(r *rig) {
	a, b := r.pair()
	r.want(r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN | unix.POLLOUT}), unix.POLLOUT, nil)
	r.put(b, []byte("x"))
	r.arrived(a, 1)
	r.want(r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN | unix.POLLOUT}), unix.POLLIN|unix.POLLOUT, nil)
	r.want(r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN}), unix.POLLIN, nil)
	r.want(r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLOUT}), unix.POLLOUT, nil)
	r.wantPending(r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLPRI}))
}

func pollHangup(r *rig) {
	for _, early := range []bool{true, false} {
		a, b := r.pair()
		in := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN})
		pri := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLPRI})
		if early {
			r.wantPending(pri)
		}
		r.shutWrite(a)
		r.shut(b)
		if c := r.finish(in); c.Err != nil || c.N&unix.POLLIN == 0 {
			r.Errorf("after the peer's close, poll for POLLIN has %s", show(&c))
		}
		if c := r.finish(pri); c.Err != nil || c.N&unix.POLLHUP == 0 {
			r.Errorf("after the peer's close and ours, poll for POLLPRI has %s; want POLLHUP", show(&c))
		}
	}
}

// pollNoEvents asks for nothing but what always counts.
func pollNoEvents(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Poll, FD: a})
	r.put(b, []byte("x"))
	r.wantPending(t)
	r.shut(b)
	if c := r.finish(t); c.Err != nil || c.N&unix.POLLHUP == 0 {
		r.Errorf("poll for nothing has %s; want POLLHUP", show(&c))
	}
}

func pollError(r *rig) {
	in, out := r.pipe()
	r.fill(out)
	t := r.submit(backend.Op{Kind: backend.Poll, FD: out, Events: unix.POLLOUT})
	r.wantPending(t)
	r.shut(in)
	if c := r.finish(t); c.Err != nil || c.N&(unix.POLLERR|unix.POLLHUP) == 0 {
		r.Errorf("poll of a pipe without a reader has %s; want POLLERR or POLLHUP", show(&c))
	}
}

func pollMany(r *rig) {
	a, b := r.pair()
	var toks []backend.Token
	for range 100 {
		toks = append(toks, r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN}))
	}
	r.wantPending(toks[0])
	r.cancel(toks[50])
	r.want(toks[50], 0, backend.ErrCanceled)
	r.put(b, []byte("x"))
	for i, t := range toks {
		if i != 50 {
			r.want(t, unix.POLLIN, nil)
		}
	}
}

// pollBeside has Poll, receive and send wait on one descriptor, none in the way of another.
func pollBeside(r *rig) {
	a, b := r.narrowPair()
	pri := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLPRI})
	in := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 10)})
	out := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: much()})
	r.wantPending(out)
	r.put(b, []byte("x"))
	r.want(in, 1, nil)
	r.wantPending(pri)
	in = r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 10)})
	r.cancel(pri)
	r.want(pri, 0, backend.ErrCanceled)
	r.wantPending(in)
	r.wantBytes("what was sent", r.pull(b, len(much())), much())
	r.want(out, len(much()), nil)
	r.put(b, []byte("y"))
	r.want(in, 1, nil)
}

func pollAgain(r *rig) {
	a, b := r.pair()
	var p [1]byte
	for i := range 100 {
		t := r.submit(backend.Op{Kind: backend.Poll, FD: a, Events: unix.POLLIN})
		if i%2 == 0 {
			r.poll(0)
		}
		r.put(b, []byte{byte(i)})
		r.want(t, unix.POLLIN, nil)
		r.get(a, p[:]) // what is ready is taken behind the backend's back
		if p[0] != byte(i) {
			r.Fatalf("read %d, want %d", p[0], i)
		}
	}
}

func pollListener(r *rig) {
	ln, addr := r.listen(5)
	t := r.submit(backend.Op{Kind: backend.Poll, FD: ln, Events: unix.POLLIN})
	r.wantPending(t)
	r.dial(addr)
	r.want(t, unix.POLLIN, nil)
	r.ok("accept", r.run(backend.Op{Kind: backend.Accept, FD: ln}).Err)
}
