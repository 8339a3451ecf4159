//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// transferTests move bytes: all that Send is given, what is there for Recv, both at once.
var transferTests = []test{
	{name: "receive", body: receive, everyNet: true},
	{name: "receive_lent", body: receiveLent, everyNet: true},
	{name: "receive_multishot", body: receiveMultishot, everyNet: true},
	{name: "receive_waits", body: receiveWaits, everyNet: true},
	{name: "receive_one_byte_each", body: receiveOneByteEach},
	{name: "receive_much", body: receiveMuch, everyNet: true},
	{name: "send", body: send, everyNet: true},
	{name: "send_nothing", body: sendNothing},
	{name: "send_whole_to_slow_reader", body: sendWhole, everyNet: true},
	{name: "gather", body: gather, everyNet: true},
	{name: "gather_whole_to_slow_reader", body: gatherWhole, everyNet: true},
	{name: "gather_many_pieces", body: gatherManyPieces, everyNet: true},
	{name: "both_directions", body: bothDirections, everyNet: true},
	{name: "send_while_receive_waits", body: sendWhileReceiveWaits, everyNet: true},
	{name: "receive_while_send_waits", body: receiveWhileSendWaits, everyNet: true},
	{name: "connect", body: connect, everyNet: true},
	{name: "connect_and_send_at_once", body: connectAndSend, everyNet: true},
	{name: "many_connections", body: manyConnections},
}

func receive(r *rig) {
	a, b := r.pair()
	for i := range 10 {
		r.put(b, pattern(i*100, 100))
		r.arrived(a, 100)
		buf := make([]byte, 64)
		c := r.want(r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: buf}), 64, nil)
		r.wantBytes("the first part", buf[:c.N], pattern(i*100, 64))
		c = r.want(r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: buf}), 36, nil)
		r.wantBytes("the rest", buf[:c.N], pattern(i*100+64, 36))
	}
}

func receiveLent(r *rig) {
	a, b := r.pair()
	for i := range 10 {
		r.put(b, pattern(i*100, 100))
		r.arrived(a, 100)
		c := r.want(r.submit(backend.Op{Kind: backend.Recv, FD: a}), 100, nil)
		r.wantBytes("what came", c.Data, pattern(i*100, 100))
		r.b.Release(c.Lease)
	}
}

func receiveMultishot(r *rig) {
	a, b := r.pair()
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	for i := range 100 {
		r.put(b, pattern(i*100, 100))
		r.wantBytes("what came", r.stream(t, 100), pattern(i*100, 100))
	}
	r.wantPending(t)
}

// receiveWaits submits before there is data.
func receiveWaits(r *rig) {
	a, b := r.pair()
	buf := make([]byte, 64)
	for _, op := range []backend.Op{{Kind: backend.Recv, FD: a, Buf: buf}, {Kind: backend.Recv, FD: a}} {
		t := r.submit(op)
		r.wantPending(t)
		r.put(b, pattern(0, 32))
		c := r.want(t, 32, nil)
		if op.Buf != nil {
			r.wantBytes("what came", buf[:c.N], pattern(0, 32))
		} else {
			r.wantBytes("what came", c.Data, pattern(0, 32))
		}
		r.b.Release(c.Lease)
	}
}

// receiveOneByteEach reads a buffer full of data with operations that take a byte each, so that a backend that takes a
// full buffer for a drained socket stalls.
func receiveOneByteEach(r *rig) {
	a, b := r.pair()
	const n = 300
	r.put(b, pattern(0, n))
	var got [n]byte
	for i := range n {
		r.want(r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: got[i : i+1]}), 1, nil)
	}
	r.wantBytes("what came", got[:], pattern(0, n))
}

// receiveMuch takes more in than all buffers hold, while the peer writes whenever it can.
func receiveMuch(r *rig) {
	a, b := r.pair()
	const n = 12 << 20
	data := pattern(0, n)
	t := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	got, sent := 0, 0
	for got < n {
		for sent < n {
			k, err := unix.Write(b, data[sent:min(sent+1<<17, n)])
			if err == unix.EAGAIN || err == unix.EINTR {
				break
			}
			r.ok("write", err)
			sent += k
		}
		c := r.next(t)
		if c.Err != nil {
			r.Fatalf("after %d bytes: %s", got, show(&c))
		}
		r.wantBytes("what came", c.Data, data[got:min(got+c.N, n)])
		got += c.N
		r.b.Release(c.Lease)
	}
}

func send(r *rig) {
	a, b := r.pair()
	var buf [1000]byte
	for i := range 10 {
		r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(i*1000, 1000)}), 1000, nil)
		r.get(b, buf[:])
		r.wantBytes("what was sent", buf[:], pattern(i*1000, 1000))
	}
}

// sendNothing sends no bytes, in each way that can be said, and between others, whose order it must not disturb.
func sendNothing(r *rig) {
	a, b := r.pair()
	for _, op := range []backend.Op{
		{Buf: []byte{}}, {}, {Bufs: [][]byte{}}, {Bufs: [][]byte{{}, nil, {}}},
	} {
		op.Kind, op.FD = backend.Send, a
		first := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("first")})
		none := r.submit(op)
		last := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("last")})
		r.want(first, 5, nil)
		r.want(none, 0, nil)
		r.want(last, 4, nil)
		var buf [9]byte
		r.get(b, buf[:])
		r.wantBytes("what was sent", buf[:], []byte("firstlast"))
	}
}

// pull reads n bytes from fd without the backend, a bit at a time, polling the backend in between.
func (r *rig) pull(fd, n int) []byte {
	r.Helper()
	p := make([]byte, n)
	for got := 0; got < n; {
		k, end := r.drain(fd, p[got:min(got+1<<16, n)])
		if end {
			r.Fatalf("end of file after %d bytes of %d", got, n)
		}
		if got += k; k == 0 {
			r.breathe("data to read")
		} else {
			r.poll(0)
		}
	}
	return p
}

func sendWhole(r *rig) {
	a, b := r.narrowPair()
	const n = 8 << 20
	data := pattern(0, n)
	t := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: data})
	r.wantPending(t)
	r.wantBytes("what was sent", r.pull(b, n), data)
	r.want(t, n, nil)
}

// pieces cuts data into pieces of the given sizes, over and over.
func pieces(data []byte, sizes ...int) [][]byte {
	var list [][]byte
	for i := 0; len(data) > 0; i++ {
		n := min(sizes[i%len(sizes)], len(data))
		list = append(list, data[:n:n])
		data = data[n:]
	}
	return list
}

func gather(r *rig) {
	a, b := r.pair()
	data := pattern(0, 1000)
	list := pieces(data, 1, 0, 300, 7)
	r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Bufs: list}), len(data), nil)
	r.wantBytes("what was sent", r.pull(b, len(data)), data)
	// The list is the caller's, and may be sent again.
	r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Bufs: list}), len(data), nil)
	r.wantBytes("what was sent", r.pull(b, len(data)), data)
}

func gatherWhole(r *rig) {
	a, b := r.narrowPair()
	const n = 8 << 20
	data := pattern(0, n)
	t := r.submit(backend.Op{Kind: backend.Send, FD: a, Bufs: pieces(data, 1<<20, 13, 0, 70000)})
	r.wantPending(t)
	r.wantBytes("what was sent", r.pull(b, n), data)
	r.want(t, n, nil)
}

// gatherManyPieces is beyond what one system call takes (IOV_MAX, 1024), with empty pieces at every seam.
func gatherManyPieces(r *rig) {
	a, b := r.pair()
	for _, count := range []int{1023, 1024, 1025, 5000} {
		list := make([][]byte, count)
		n := 0
		for i := range list {
			if i%5 != 0 && i%1024 != 1023 {
				list[i] = pattern(n, i%50)
				n += i % 50
			}
		}
		t := r.submit(backend.Op{Kind: backend.Send, FD: a, Bufs: list})
		r.wantBytes("what was sent", r.pull(b, n), pattern(0, n))
		r.want(t, n, nil)
	}
	// More than that many empty ones in a row are no end.
	list := make([][]byte, 3000)
	list[2999] = []byte("end")
	t := r.submit(backend.Op{Kind: backend.Send, FD: a, Bufs: list})
	r.wantBytes("what was sent", r.pull(b, 3), []byte("end"))
	r.want(t, 3, nil)
}

// bothDirections streams through one descriptor both ways at once, both ends on the backend.
func bothDirections(r *rig) {
	a, b := r.pair()
	const n = 3 << 20
	data := pattern(0, n)
	var sends, recvs []backend.Token
	for _, fd := range []int{a, b} {
		recvs = append(recvs, r.submit(backend.Op{Kind: backend.Recv, FD: fd, Multishot: true}))
		sends = append(sends, r.submit(backend.Op{Kind: backend.Send, FD: fd, Buf: data}))
	}
	got := [2]int{}
	for got[0] < n || got[1] < n {
		for i, t := range recvs {
			for rec := r.records[t]; len(rec.queue) > 0; {
				c := r.next(t)
				r.ok("receive", c.Err)
				r.wantBytes("what came", c.Data, data[got[i]:min(got[i]+c.N, n)])
				got[i] += c.N
				r.b.Release(c.Lease)
			}
		}
		if got[0] < n || got[1] < n {
			r.breathe("data")
		}
	}
	r.want(sends[0], n, nil)
	r.want(sends[1], n, nil)
}

func sendWhileReceiveWaits(r *rig) {
	a, b := r.pair()
	in := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 10)})
	r.wantPending(in)
	r.want(r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(0, 100)}), 100, nil)
	r.wantBytes("what was sent", r.pull(b, 100), pattern(0, 100))
	r.wantPending(in)
	r.put(b, []byte("x"))
	r.want(in, 1, nil)
}

func receiveWhileSendWaits(r *rig) {
	a, b := r.narrowPair()
	const n = 8 << 20
	out := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: pattern(0, n)})
	r.wantPending(out)
	for range 3 {
		in := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: make([]byte, 10)})
		r.put(b, []byte("x"))
		r.want(in, 1, nil)
	}
	r.wantPending(out)
	r.wantBytes("what was sent", r.pull(b, n), pattern(0, n))
	r.want(out, n, nil)
}

func connect(r *rig) {
	ln, addr := r.listen(5)
	fd := r.socket()
	t := r.submit(backend.Op{Kind: backend.Connect, FD: fd, Addr: addr.raw})
	r.want(t, 0, nil)
	r.ok("wait for a connection", waitFor(ln, unix.POLLIN))
	peer, err := acceptOne(ln)
	r.ok("accept", err)
	r.adopt(peer)
	r.put(peer, []byte("hello"))
	buf := make([]byte, 10)
	r.want(r.submit(backend.Op{Kind: backend.Recv, FD: fd, Buf: buf}), 5, nil)
	r.wantBytes("what came", buf[:5], []byte("hello"))
}

// connectAndSend relies on law 3: both are writing, so the Send's turn is when the Connect is through. A Recv is not,
// and is submitted when connected.
func connectAndSend(r *rig) {
	ln, addr := r.listen(5)
	fd := r.socket()
	t := r.submit(backend.Op{Kind: backend.Connect, FD: fd, Addr: addr.raw})
	out := r.submit(backend.Op{Kind: backend.Send, FD: fd, Buf: []byte("hello")})
	r.want(t, 0, nil)
	r.want(out, 5, nil)
	peer, err := acceptOne(ln)
	r.ok("accept", err)
	r.adopt(peer)
	r.wantBytes("what was sent", r.pull(peer, 5), []byte("hello"))
}

// manyConnections is beyond a bitmap word and a batch and, where select(2) can do that, beyond 1,024 descriptors.
func manyConnections(r *rig) {
	const n = manyPairs
	type conn struct {
		a, b int
		recv backend.Token
	}
	conns := make([]conn, n)
	for i := range conns {
		a, b := r.pair()
		conns[i] = conn{a, b, r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})}
	}
	r.poll(0)
	for round := range 3 {
		for i := range conns {
			r.put(conns[i].b, pattern(i+round, 20))
		}
		for i := range conns {
			data := r.stream(conns[i].recv, 20)
			r.wantBytes("what came", data, pattern(i+round, 20))
			r.submit(backend.Op{Kind: backend.Send, FD: conns[i].a, Buf: data})
		}
		for i := range conns {
			r.wantBytes("what was sent back", r.pull(conns[i].b, 20), pattern(i+round, 20))
		}
	}
}
