//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"slices"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// thoroughTests hold the first half of law 5 over thousands of operations: a real result beats a cancel, and a Poll whose
// time has passed leaves no result behind unless dst is full.
var thoroughTests = func() []test {
	list := []test{
		{name: "cancel_ends_what_has_no_result", body: cancelWithoutResults},
		{name: "some_of_many", body: someOfMany},
		{name: "too_few_buffers_then_due", body: fewBuffersDue, options: few},
		{name: "too_few_buffers_then_canceled", body: fewBuffersCanceled, options: few},
		{name: "stream_without_end", body: streamWithoutEnd, options: options{dirty: true}},
		{name: "cancel_behind_a_stream", body: cancelBehindStream, everyNet: true},
	}
	for _, s := range scenes {
		for _, o := range occasions {
			if s.armed && !o.armed {
				continue
			}
			list = append(list, test{
				name:     s.name + o.name,
				body:     func(r *rig) { r.lawFive(s.set(r), s.want, o) },
				options:  options{cfg: plenty},
				everyNet: s.everyNet, tcpOnly: s.tcpOnly,
			})
		}
	}
	return append(list, test{name: "receives_then_due_small_dst", options: options{batch: 7}, body: func(r *rig) {
		r.lawFive(receives(r), nil, occasions[0])
	}}, test{name: "receives_then_canceled_small_dst", options: options{batch: 7}, body: func(r *rig) {
		r.lawFive(receives(r), nil, occasions[1])
	}})
}()

// plenty has a buffer for each operation.
var plenty = backend.Config{BufferSize: 256, BufferCount: 1024}

// occasion is when results come, and what asks for them.
type occasion struct {
	name   string
	armed  bool // the operations have begun when their results come; else those are there first
	cancel bool // all are canceled then; else a caller's timer is due
}

var occasions = []occasion{
	{"_then_due", true, false},
	{"_then_canceled", true, true},
	{"_there_when_due", false, false},
	{"_there_when_canceled", false, true},
}

// scene is one kind of operation, many times.
type scene struct {
	name     string
	set      func(r *rig) crowd
	want     error // how each of them ends
	armed    bool  // without the operations there is no result
	everyNet bool
	tcpOnly  bool
}

var scenes = []scene{
	{name: "receives", set: receives, everyNet: true},
	{name: "lent", set: func(r *rig) crowd { return r.receiving(func(fd int) backend.Op { return recvOps(fd)[1] }) }},
	{name: "multishot", set: func(r *rig) crowd { return r.receiving(func(fd int) backend.Op { return recvOps(fd)[2] }) }},
	{name: "splices", set: func(r *rig) crowd { return r.receiving(func(fd int) backend.Op { return recvOps(fd)[3] }) }},
	{name: "polls", set: func(r *rig) crowd {
		return r.receiving(func(fd int) backend.Op { return backend.Op{Kind: backend.Poll, FD: fd, Events: unix.POLLIN} })
	}},
	{name: "accepts", set: func(r *rig) crowd { return r.accepting(2, false) }},
	{name: "multishot_accepts", set: func(r *rig) crowd { return r.accepting(1, true) }},
	{name: "sends", set: sending},
	{name: "refused_connects", set: refusedConnects, want: unix.ECONNREFUSED, armed: true, everyNet: true, tcpOnly: true},
}

// crowd is many operations, and a function that gives each of them a result.
type crowd struct {
	ops  []backend.Op
	come func()
}

// crowded is the number of connections in a crowd. Under the race detector, which looks for other faults, there are fewer.
func crowded() int {
	if testenv.Race {
		return manyPairs / 5
	}
	return manyPairs
}

// receives has three receives wait in line on each of many connections.
func receives(r *rig) crowd {
	pairs := r.pairs(crowded())
	c := crowd{come: func() { r.putAll(pairs, "abc") }}
	for _, p := range pairs {
		for range 3 {
			c.ops = append(c.ops, backend.Op{Kind: backend.Recv, FD: p[0], Buf: make([]byte, 1)})
		}
	}
	return c
}

// receiving has one operation wait on each of many connections, to which a byte comes.
func (r *rig) receiving(op func(fd int) backend.Op) crowd {
	pairs := r.pairs(crowded())
	c := crowd{come: func() { r.putAll(pairs, "x") }}
	for _, p := range pairs {
		c.ops = append(c.ops, op(p[0]))
	}
	return c
}

// accepting has clients come to many listeners.
func (r *rig) accepting(each int, multishot bool) crowd {
	var c crowd
	var addrs []address
	for range crowded() / 3 {
		ln, addr := r.listen(5)
		addrs = append(addrs, addr)
		for range each {
			c.ops = append(c.ops, backend.Op{Kind: backend.Accept, FD: ln, Multishot: multishot})
		}
	}
	c.come = func() {
		for _, addr := range addrs {
			for range each {
				r.dial(addr)
			}
		}
	}
	return c
}

// sending has sends wait on connections without room, until there is some.
func sending(r *rig) crowd {
	var c crowd
	var peers []int
	for range manyPairs {
		a, b := r.unixPair()
		peers = append(peers, b)
		r.ok("SO_SNDBUF", unix.SetsockoptInt(a, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<12))
		r.fill(a)
		for range 3 {
			c.ops = append(c.ops, backend.Op{Kind: backend.Send, FD: a, Buf: []byte("x")})
		}
	}
	c.come = func() {
		for _, b := range peers {
			r.drain(b, make([]byte, 1<<16))
		}
	}
	return c
}

// refusedConnects has connects fail, which shows when they have begun.
func refusedConnects(r *rig) crowd {
	_, nobody := r.bind()
	c := crowd{come: func() { time.Sleep(moment) }}
	for range manyPairs {
		c.ops = append(c.ops, backend.Op{Kind: backend.Connect, FD: r.socket(), Addr: nobody.raw})
	}
	return c
}

// pairs gives n pairs. Those of TCP leave nothing behind that would hold their ports when they are closed.
func (r *rig) pairs(n int) [][2]int {
	r.Helper()
	all := make([][2]int, n)
	if r.net == unixNet {
		for i := range all {
			all[i][0], all[i][1] = r.unixPair()
		}
		return all
	}
	ln, addr := r.listen(1)
	for i := range all {
		b := r.dial(addr)
		r.ok("wait for a connection", waitFor(ln, unix.POLLIN))
		a, err := acceptOne(ln)
		r.ok("accept", err)
		all[i] = [2]int{r.adopt(a), b}
		for _, fd := range all[i] {
			r.ok("SO_LINGER", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
		}
	}
	return all
}

// putAll sends s to each of pairs.
func (r *rig) putAll(pairs [][2]int, s string) {
	r.Helper()
	var peers []int
	for _, p := range pairs {
		r.put(p[1], []byte(s))
		peers = append(peers, p[1])
	}
	r.sent(peers...)
}

// lawFive has each operation of c have a result, and looks whether it is reported.
func (r *rig) lawFive(c crowd, want error, o occasion) {
	r.Helper()
	if !o.armed {
		c.come()
	}
	var toks []backend.Token
	for _, op := range c.ops {
		toks = append(toks, r.submit(op))
	}
	if o.armed {
		for range 5 {
			r.pollInto(r.dst[:1], 0) // which leaves what it can
		}
		c.come()
	}
	if o.cancel {
		for _, t := range toks {
			r.cancel(t)
		}
		r.all(toks)
	} else {
		r.look()
	}
	none, early := 0, 0
	for _, t := range toks {
		switch rec := r.records[t]; {
		case len(rec.queue) == 0:
			none++
		case rec.queue[0].Err != want:
			early++
		}
		r.dismiss(t)
	}
	if none+early > 0 {
		r.Errorf("law 5: of %d operations like %s, each of which had a result, %d had none reported and %d another one than %v",
			len(toks), describe(&c.ops[0]), none, early, want)
	}
}

// look polls as a caller does whose timer is due: until a Poll returns fewer completions than it has room for.
func (r *rig) look() {
	r.Helper()
	for due := r.b.Now(); r.poll(due) == len(r.dst); {
	}
}

// all polls until each of toks is complete.
func (r *rig) all(toks []backend.Token) {
	r.Helper()
	until := r.in(limit)
	for _, t := range toks {
		for !r.records[t].final {
			if r.poll(until) == 0 && r.b.Now() >= until {
				r.Fatalf("%s does not complete in %v", describe(&r.records[t].op), limit)
			}
		}
	}
}

// dismiss takes what has come of t without a look at it.
func (r *rig) dismiss(t backend.Token) {
	rec := r.records[t]
	for _, c := range rec.queue {
		r.b.Release(c.Lease)
	}
	rec.queue = nil
}

// cancelWithoutResults cancels thousands that wait in vain: all of them end, in few Polls.
func cancelWithoutResults(r *rig) {
	var toks []backend.Token
	for _, p := range r.pairs(crowded()) {
		for range 3 {
			toks = append(toks, r.submit(backend.Op{Kind: backend.Recv, FD: p[0], Buf: make([]byte, 1)}))
		}
	}
	r.settle()
	for _, t := range toks {
		r.cancel(t)
	}
	polls := r.b.Stats().Polls
	r.all(toks)
	if polls, enough := r.b.Stats().Polls-polls, uint64(len(toks)/20); polls > enough {
		r.Errorf("%d canceled operations took %d Polls to end, more than %d", len(toks), polls, enough)
	}
	for _, t := range toks {
		r.want(t, 0, backend.ErrCanceled)
	}
}

// someOfMany gives a result to one operation of many, and cancels all: the others end, and no byte is lost.
func someOfMany(r *rig) {
	c := r.receiving(func(fd int) backend.Op { return backend.Op{Kind: backend.Recv, FD: fd, Buf: make([]byte, 1)} })
	var toks []backend.Token
	for _, op := range c.ops {
		toks = append(toks, r.submit(op))
	}
	last := len(c.ops) - 1
	a, b := r.pair()
	toks = append(toks, r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 1)}))
	r.settle()
	r.put(b, []byte("x"))
	r.sent(b)
	for _, t := range toks {
		r.cancel(t)
	}
	c.come() // after the cancels, so that either may win
	r.all(toks)
	if got := r.finish(toks[last+1]); got.Err != nil || got.N != 1 {
		r.Errorf("its byte came before the cancel, but receive has %s", show(&got))
	}
	for i, op := range c.ops {
		got := r.finish(toks[i])
		if got.Err == backend.ErrCanceled {
			r.want(r.submit(op), 1, nil)
		} else if got.Err != nil || got.N != 1 {
			r.Fatalf("receive has %s", show(&got))
		}
	}
}

// fewBuffersDue has more receives than there are buffers for.
func fewBuffersDue(r *rig) { r.fewBuffers(false) }

func fewBuffersCanceled(r *rig) { r.fewBuffers(true) }

func (r *rig) fewBuffers(cancel bool) {
	r.Helper()
	const conns, n = 300, 1000
	var toks []backend.Token
	var fds []int
	for i, p := range r.pairs(conns) {
		a, b := p[0], p[1]
		fds = append(fds, a)
		toks = append(toks, r.submit(recvOps(a)[i%recvWays]))

		r.poll(0)
		r.put(b, pattern(i, n))
		r.sent(b)
	}
	if cancel {
		for _, t := range toks {
			r.cancel(t)
		}
	} else {
		r.look()
	}
	for i, t := range toks {
		r.cancel(t) // again, or now
		var got []byte
		for {
			c := r.next(t)
			if c.Err == nil && r.records[t].op.Buf != nil {
				got = append(got, r.records[t].op.Buf[:c.N]...)
			} else if c.Err == nil {
				got = append(got, r.lent(&c)...)
			} else if c.Err != backend.ErrCanceled {
				r.Fatalf("%s has %s", describe(&r.records[t].op), show(&c))
			}
			r.release(c.Lease)
			if !c.More {
				break
			}
		}
		rest := make([]byte, n)
		left, _ := r.drain(fds[i], rest)
		r.wantBytes("what came", append(got, rest[:left]...), pattern(i, n))
	}
}

// streamWithoutEnd has peers send all the time. A Poll whose time has passed ends nevertheless, and so does one with
// cancels.
func streamWithoutEnd(r *rig) {
	const conns = 50
	stop, stopped := make(chan struct{}), make(chan struct{})
	var toks []backend.Token
	var peers []int
	for range conns {
		a, b := r.pair()
		peers = append(peers, b)
		toks = append(toks, r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true}))
	}
	go func() {
		defer close(stopped)
		for p := pattern(0, 1000); ; {
			select {
			case <-stop:
				return
			default:
			}
			for _, fd := range peers {
				unix.Write(fd, p)
			}
		}
	}()
	defer func() { <-stopped }()
	defer close(stop)
	for range 40 {
		r.poll(r.b.Now())
		for _, t := range toks {
			r.dismiss(t)
		}
	}
	dst := make([]backend.Completion, 1<<14)
	r.pollInto(dst, r.b.Now())
	t := toks[conns/2]
	r.cancel(t)
	for r.pollInto(dst, backend.Forever); !r.records[t].final; r.pollInto(dst, backend.Forever) {
		for _, t := range toks {
			r.dismiss(t)
		}
	}
	if last := r.records[t].queue[len(r.records[t].queue)-1]; last.Err != backend.ErrCanceled {
		r.Errorf("the receive that was canceled has %s", show(&last))
	}
	for _, t := range toks {
		r.dismiss(t)
	}
}

// cancelBehindStream cancels a multishot and the receives behind it: bytes are there for the first only.
func cancelBehindStream(r *rig) {
	a, b := r.pair()
	first := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	toks := []backend.Token{first}
	for range 5 {
		toks = append(toks, r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 10)}))
	}
	r.poll(0)
	r.put(b, pattern(0, 10))
	r.sent(b)
	for _, t := range slices.Backward(toks) {
		r.cancel(t)
	}
	r.wantBytes("what came", r.stream(first, 10), pattern(0, 10))
	for _, t := range toks {
		r.want(t, 0, backend.ErrCanceled)
	}
}
