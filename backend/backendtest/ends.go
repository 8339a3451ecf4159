//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

// endTests hold law 7, and that a stream's end is told in the same words everywhere.
var endTests = []test{
	{name: "eof", body: eof, everyNet: true},
	{name: "eof_pending", body: eofPending, everyNet: true},
	{name: "eof_after_data", body: eofAfterData, everyNet: true},
	{name: "eof_after_data_multishot", body: eofAfterDataMultishot, everyNet: true},
	{name: "eof_after_data_exact", body: eofAfterDataExact, everyNet: true},
	{name: "half_close", body: halfClose, everyNet: true},
	{name: "reset", body: reset, everyNet: true, tcpOnly: true},
	{name: "reset_pending", body: resetPending, everyNet: true, tcpOnly: true},
	{name: "reset_after_data", body: resetAfterData, everyNet: true, tcpOnly: true},
	{name: "reset_sending", body: resetSending, everyNet: true, tcpOnly: true},
	{name: "refused", body: refused, everyNet: true},
	{name: "refused_with_followers", body: refusedWithFollowers, everyNet: true, tcpOnly: true},
	{name: "full_listener", body: fullListener},
	{name: "reset_racing_data", body: resetRacingData, everyNet: true, tcpOnly: true},
	{name: "broken_pipe", body: brokenPipe, everyNet: true},
	{name: "broken_pipe_pending", body: brokenPipePending},
	{name: "send_after_shutdown", body: sendAfterShutdown, everyNet: true},
	{name: "not_connected", body: notConnected, everyNet: true, tcpOnly: true},
}

func (r *rig) shutWrite(fd int) {
	r.Helper()
	r.ok("shutdown", unix.Shutdown(fd, unix.SHUT_WR))
}

// recvOps are the ways to receive.
func recvOps(fd int) []backend.Op {
	return []backend.Op{
		{Kind: backend.Recv, FD: fd, Buf: make([]byte, 100)},
		{Kind: backend.Recv, FD: fd},
		{Kind: backend.Recv, FD: fd, Multishot: true},
		{Kind: backend.Splice, FD: fd},
	}
}

const recvWays = 4 // how many those are

func eof(r *rig) {
	a, b := r.pair()
	r.shutWrite(b)
	r.ok("wait for the end", waitFor(a, unix.POLLIN))
	for range 2 {
		for _, op := range recvOps(a) {
			r.want(r.submit(op), 0, io.EOF) // the end comes again and again
		}
	}
}

func eofPending(r *rig) {
	for i := range recvWays {
		a, b := r.pair()
		op := recvOps(a)[i]
		t := r.submit(op)
		behind := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 1)})
		r.wantPending(t)
		r.shut(b)
		r.want(t, 0, io.EOF)
		r.want(behind, 0, io.EOF)
	}
}

// eofAfterData has data and end there before the first receive.
func eofAfterData(r *rig) {
	a, b := r.pair()
	r.put(b, pattern(0, 250))
	r.arrived(a, 250)
	r.shut(b)
	ops := recvOps(a)
	var toks []backend.Token
	for range 4 {
		toks = append(toks, r.submit(ops[0]))
	}
	for _, n := range []int{100, 100, 50} {
		r.want(toks[0], n, nil)
		toks = toks[1:]
	}
	r.want(toks[0], 0, io.EOF)
}

// eofAfterDataMultishot has much data, and the end right behind it.
func eofAfterDataMultishot(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	const n = 3 << 20
	data := pattern(0, n)
	out := r.submit(backend.Op{Kind: backend.Send, FD: b, Buf: data})
	var got []byte
	for len(got) < n {
		got = append(got, r.stream(t, 1)...)
		if rec := r.records[out]; len(rec.queue) > 0 {
			r.want(out, n, nil)
			r.shutWrite(b)
		}
	}
	if len(r.records[out].queue) > 0 {
		r.want(out, n, nil)
		r.shutWrite(b)
	}
	r.wantBytes("what came", got, data)
	r.want(t, 0, io.EOF)
}

// eofAfterDataExact has data that fills a receive's buffer to the last byte, so that only one more try can tell the
// end.
func eofAfterDataExact(r *rig) {
	for _, early := range []bool{false, true} {
		a, b := r.pair()
		ops := recvOps(a)
		var toks []backend.Token
		submit := func() {
			toks = []backend.Token{r.submit(ops[0]), r.submit(ops[0]), r.submit(ops[2])}
		}
		if early {
			submit()
			r.wantPending(toks[0])
		}
		r.put(b, pattern(0, 100))
		r.shut(b)
		if !early {
			r.arrived(a, 100)
			submit()
		}
		r.want(toks[0], 100, nil)
		r.want(toks[1], 0, io.EOF)
		r.want(toks[2], 0, io.EOF)
	}
}

// halfClose ends one direction and goes on in the other.
func halfClose(r *rig) {
	a, b := r.pair()
	r.shutWrite(b)
	r.want(r.submit(backend.Op{Kind: backend.Recv, FD: a}), 0, io.EOF)
	for i := range 3 {
		r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(i*100, 100)}), 100, nil)
		r.wantBytes("what was sent", r.pull(b, 100), pattern(i*100, 100))
	}
	r.shutWrite(a)
	r.wantEOF(b)
}

func reset(r *rig) {
	for i := range recvWays {
		a, b := r.pair()
		r.reset(b)
		r.ok("wait for the reset", waitFor(a, unix.POLLIN))
		r.want(r.submit(recvOps(a)[i]), 0, unix.ECONNRESET)
		// The kernel tells a reset once; after it there is only the end.
		r.want(r.submit(recvOps(a)[0]), 0, io.EOF)
	}
}

func resetPending(r *rig) {
	for i := range recvWays {
		a, b := r.pair()
		t := r.submit(recvOps(a)[i])
		r.wantPending(t)
		r.reset(b)
		r.want(t, 0, unix.ECONNRESET)
	}
}

// resetAfterData has data there, and a reset behind it. The kernel keeps what it has acknowledged.
func resetAfterData(r *rig) {
	for i := range 2 * recvWays {
		a, b := r.pair()
		op := recvOps(a)[i%recvWays]
		var t backend.Token
		if i < recvWays {
			t = r.submit(op)
			r.wantPending(t)
		}
		r.put(b, pattern(i, 10))
		if i >= recvWays {
			r.arrived(a, 10)
		}
		r.reset(b)
		if i >= recvWays {
			r.ok("wait for the reset", waitFor(a, unix.POLLHUP))
			t = r.submit(op)
		}
		c := r.next(t)
		if c.Err != nil || c.N != 10 {
			r.Fatalf("%s has %s; want the 10 bytes that came before the reset", describe(&op), show(&c))
		}
		r.release(c.Lease)
		if !c.More {
			t = r.submit(recvOps(a)[0])
		}
		r.want(t, 0, unix.ECONNRESET)
	}
}

// resetSending resets a connection under a send that waits.
func resetSending(r *rig) {
	a, b := r.narrowPair()
	const n = 8 << 20
	t := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(0, n)})
	behind := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(0, 1)})
	r.wantPending(t)
	r.reset(b)
	c := r.finish(t)
	if c.Err != unix.ECONNRESET || c.N <= 0 || c.N >= n {
		r.Errorf("send has %s; want ECONNRESET and how much was sent", show(&c))
	}
	r.want(behind, 0, unix.EPIPE)
}

func refused(r *rig) {
	_, addr := r.bind() // taken by us, and nobody listens
	for range 3 {
		fd := r.socket()
		r.want(r.submit(backend.Op{Kind: backend.Connect, FD: fd, Addr: addr.raw}), 0, unix.ECONNREFUSED)
		r.closeFD(fd)
	}
}

func refusedWithFollowers(r *rig) {
	_, addr := r.bind()
	fd := r.socket()
	t := r.submit(backend.Op{Kind: backend.Connect, FD: fd, Addr: addr.raw})
	out := r.submit(backend.Op{Kind: backend.Send, FD: fd, Buf: []byte("hello")})
	r.want(t, 0, unix.ECONNREFUSED)
	r.want(out, 0, unix.EPIPE)
}

// fullListener connects to a unix socket whose queue is full, which connect(2) says with EAGAIN on Linux and
// ECONNREFUSED elsewhere. The one is never told (law 2): the Connect waits for room.
func fullListener(r *rig) {
	ln, addr := r.listen(0)
	for i := 0; ; i++ {
		err := unix.Connect(r.socket(), addr.sa)
		if err == unix.EAGAIN {
			break
		}
		if err == unix.ECONNREFUSED && i > 0 {
			r.want(r.submit(backend.Op{Kind: backend.Connect, FD: r.socket(), Addr: addr.raw}), 0, err)
			return
		}
		r.ok("connect", err)
	}
	t := r.submit(backend.Op{Kind: backend.Connect, FD: r.socket(), Addr: addr.raw})
	r.timeout(t, 4*moment)
	r.want(t, 0, backend.ErrCanceled)
	t = r.submit(backend.Op{Kind: backend.Connect, FD: r.socket(), Addr: addr.raw})
	r.cancel(t)
	r.want(t, 0, backend.ErrCanceled)
	t = r.submit(backend.Op{Kind: backend.Connect, FD: r.socket(), Addr: addr.raw})
	out := r.submit(backend.Op{Kind: backend.Send, FD: r.records[t].op.FD, Buf: []byte("hello")})
	r.wantPending(t)
	for {
		fd, err := acceptOne(ln)
		if err == unix.EAGAIN {
			break
		}
		r.ok("accept", err)
		r.adopt(fd)
	}
	r.want(t, 0, nil)
	r.want(out, 5, nil)
}

// sigpipe gives a func that fails the test if a SIGPIPE has come since.
func (r *rig) sigpipe() func() {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGPIPE)
	r.atEnd(func() { signal.Stop(ch) })
	return func() {
		r.Helper()
		select {
		case <-ch:
			r.Errorf("SIGPIPE was raised")
		case <-time.After(moment): // the runtime hands a signal on when it gets round to it
		}
	}
}

// resetRacingData has many peers that say something and are gone, by a reset, while the backend accepts, receives and
// answers. Each receive must come to its end, however close together the two arrive.
func resetRacingData(r *rig) {
	conns := 8000
	if testenv.Race {
		conns = 2000
	}
	ln, addr := r.listen(2000)
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			for range conns {
				fd, err := newSocket(r.net.family(), unix.SOCK_STREAM)
				if err != nil {
					return err
				}
				err = unix.Connect(fd, addr.sa)
				if err == unix.EINPROGRESS {
					err = waitFor(fd, unix.POLLOUT)
				}
				if err != nil {
					return err
				}
				unix.Write(fd, pattern(0, 1000))
				unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
				unix.Close(fd)
			}
			return nil
		}()
	}()
	accept := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
	open := map[backend.Token]int{} // receives, and their descriptors
	answer := pattern(0, 1000)
	for ended := 0; ended < conns; {
		if r.poll(r.in(limit/4)) == 0 {
			r.Fatalf("%d of %d connections have ended, and of %d nothing more comes", ended, conns, len(open))
		}
		for rec := r.records[accept]; len(rec.queue) > 0; {
			c := r.next(accept)
			r.ok("accept", c.Err)
			open[r.submit(backend.Op{Kind: backend.Recv, FD: c.N, Multishot: true})] = c.N
		}
		for t, fd := range open {
			for rec := r.records[t]; len(rec.queue) > 0; {
				c := r.next(t)
				r.release(c.Lease)
				if c.More {
					r.submit(backend.Op{Kind: backend.Send, FD: fd, Buf: answer})
					continue
				}
				if c.Err != io.EOF && c.Err != unix.ECONNRESET && c.Err != unix.EPIPE {
					r.Errorf("%s has %s", describe(&rec.op), show(&c))
				}
				r.submit(backend.Op{Kind: backend.Close, FD: fd})
				r.disown(fd)
				delete(open, t)
				delete(r.records, t)
				ended++
			}
		}
	}
	r.ok("the peers", <-done)
}

func brokenPipe(r *rig) {
	check := r.sigpipe()
	a, b := r.pair()
	r.shut(b)
	if r.net != unixNet {
		// The peer answers the first bytes with a reset.
		r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("x")}), 1, nil)
		r.ok("wait for the reset", waitFor(a, unix.POLLHUP))
	}
	for i := range 3 {
		op := backend.Op{Kind: backend.Send, FD: a, Buf: []byte("x")}
		if i > 0 {
			op.Buf, op.Bufs = nil, [][]byte{[]byte("x"), []byte("y")}
		}
		r.want(r.submit(op), 0, unix.EPIPE)
	}
	check()
}

// brokenPipePending takes the peer away under a send that waits. What the peer left unread can make a reset of that.
func brokenPipePending(r *rig) {
	check := r.sigpipe()
	a, b := r.narrowPair()
	const n = 8 << 20
	t := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(0, n)})
	r.wantPending(t)
	r.shut(b)
	c := r.finish(t)
	if c.Err != unix.EPIPE && c.Err != unix.ECONNRESET || c.N <= 0 || c.N >= n {
		r.Errorf("send has %s; want EPIPE or ECONNRESET, and how much was sent", show(&c))
	}
	r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("x")}), 0, unix.EPIPE)
	check()
}

func sendAfterShutdown(r *rig) {
	check := r.sigpipe()
	a, b := r.pair()
	r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("last")}), 4, nil)
	r.shutWrite(a)
	r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("x")}), 0, unix.EPIPE)
	r.wantBytes("what was sent", r.pull(b, 4), []byte("last"))
	r.wantEOF(b)
	check()
}

func notConnected(r *rig) {
	fd := r.socket()
	for _, op := range recvOps(fd) {
		r.want(r.submit(op), 0, unix.ENOTCONN)
	}
	r.want(r.submit(backend.Op{Kind: backend.Send, FD: fd, Buf: []byte("x")}), 0, unix.EPIPE)
}
