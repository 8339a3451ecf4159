//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// orderTests hold law 3: first in, first out for each direction of a descriptor. Checked looks at the order of the
// final completions; here is what the bytes say.
var orderTests = []test{
	{name: "receives", body: receivesInOrder, everyNet: true},
	{name: "receives_of_what_is_there", body: receivesOfWhatIsThere, everyNet: true},
	{name: "receives_of_all_sorts", body: receivesOfAllSorts, everyNet: true},
	{name: "sends", body: sendsInOrder, everyNet: true},
	{name: "sends_to_slow_reader", body: sendsToSlowReader, everyNet: true},
	{name: "accepts", body: acceptsInOrder, everyNet: true},
	{name: "reads_and_writes", body: readsAndWrites},
}

// receivesInOrder has many receives wait in line, and data come a bit at a time.
func receivesInOrder(r *rig) {
	a, b := r.pair()
	const n, size = 200, 10
	var bufs [n][size]byte
	var toks [n]backend.Token
	for i := range toks {
		toks[i] = r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: bufs[i][:]})
	}
	r.wantPending(toks[0])
	for i := range toks {
		r.put(b, pattern(i*size, size))
		if i%7 == 0 {
			r.poll(0)
		}
	}
	r.wantInLine(toks[:], func(i, n int) []byte { return bufs[i][:n] }, n*size)
}

// wantInLine takes the final completions of receives that were submitted one after the other, and compares what they
// got with pattern(0, total). How the bytes are cut is the kernel's affair. Receives that are left over stay pending.
func (r *rig) wantInLine(toks []backend.Token, data func(i, n int) []byte, total int) {
	r.Helper()
	var all []byte
	for i, t := range toks {
		if len(all) >= total {
			break
		}
		c := r.finish(t)
		r.ok("receive", c.Err)
		if c.Data != nil {
			all = append(all, c.Data...)
			r.b.Release(c.Lease)
		} else {
			all = append(all, data(i, c.N)...)
		}
	}
	r.wantBytes("all receives together", all, pattern(0, total))
}

// receivesOfWhatIsThere has the data there before many receives come in one turn.
func receivesOfWhatIsThere(r *rig) {
	a, b := r.pair()
	const n, size = 200, 10
	r.put(b, pattern(0, n*size))
	r.arrived(a, n*size)
	var bufs [n][size]byte
	var toks [n]backend.Token
	for i := range toks {
		toks[i] = r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: bufs[i][:]})
	}
	for i := range toks {
		r.want(toks[i], size, nil)
		r.wantBytes("a receive's part", bufs[i][:], pattern(i*size, size))
	}
}

// receivesOfAllSorts mixes receives into a buffer, lent ones, and a multishot one at the end of the line.
func receivesOfAllSorts(r *rig) {
	a, b := r.pair()
	const n = 60
	var bufs [n][]byte
	var toks []backend.Token
	for i := range n - 1 {
		op := backend.Op{Kind: backend.Recv, FD: a}
		if i%2 == 0 {
			bufs[i] = make([]byte, 1+i%9)
			op.Buf = bufs[i]
		}
		toks = append(toks, r.submit(op))
	}
	multi := r.submit(backend.Op{Kind: backend.Recv, FD: a, Multishot: true})
	sent := 0
	var all []byte
	for i, t := range toks {
		r.put(b, pattern(sent, 9))
		sent += 9
		c := r.finish(t)
		r.ok("receive", c.Err)
		if i%2 == 0 {
			all = append(all, bufs[i][:c.N]...)
		} else {
			all = append(all, c.Data...)
			r.b.Release(c.Lease)
		}
	}
	r.put(b, pattern(sent, 1000))
	sent += 1000
	all = append(all, r.stream(multi, sent-len(all))...)
	r.wantBytes("all receives together", all, pattern(0, sent))
}

func sendsInOrder(r *rig) {
	a, b := r.pair()
	const n = 500
	total := 0
	var toks [n]backend.Token
	for i := range toks {
		op := backend.Op{Kind: backend.Send, FD: a}
		if i%3 == 0 {
			op.Bufs = pieces(pattern(total, i), 5, 0, 11)
		} else {
			op.Buf = pattern(total, i)
		}
		total += i
		toks[i] = r.submit(op)
	}
	r.wantBytes("what was sent", r.pull(b, total), pattern(0, total))
	for i, t := range toks {
		r.want(t, i, nil)
	}
}

// sendsToSlowReader has every send end in the middle of something.
func sendsToSlowReader(r *rig) {
	a, b := r.narrowPair()
	const n, size = 40, 200_001
	var toks [n]backend.Token
	for i := range toks {
		op := backend.Op{Kind: backend.Send, FD: a, Buf: pattern(i*size, size)}
		if i%2 == 1 {
			op.Buf, op.Bufs = nil, pieces(op.Buf, 70_000, 1, 0, 65_536)
		}
		toks[i] = r.submit(op)
	}
	r.wantPending(toks[n-1])
	r.wantBytes("what was sent", r.pull(b, n*size), pattern(0, n*size))
	for _, t := range toks {
		r.want(t, size, nil)
	}
}

// acceptsInOrder has several accepts wait in line for connections that say which they are.
func acceptsInOrder(r *rig) {
	ln, addr := r.listen(64)
	const n = 20
	var toks [n]backend.Token
	for i := range toks {
		toks[i] = r.submit(backend.Op{Kind: backend.Accept, FD: ln})
	}
	r.wantPending(toks[0])
	for i := range n {
		r.put(r.dial(addr), []byte{byte(i)})
	}
	for i, t := range toks {
		c := r.finish(t)
		r.ok("accept", c.Err)
		var p [1]byte
		r.get(c.N, p[:])
		if int(p[0]) != i {
			r.Errorf("accept %d got connection %d", i, p[0])
		}
	}
}

// readsAndWrites is for descriptors that are no sockets.
func readsAndWrites(r *rig) {
	in, out := r.pipe()
	const n, size = 50, 3000 // more than a pipe holds
	var reads [n]backend.Token
	var writes [n]backend.Token
	var bufs [n][size]byte
	for i := range n {
		writes[i] = r.submit(backend.Op{Kind: backend.Write, FD: out, Buf: pattern(i*size, size)})
	}
	r.wantPending(writes[n-1])
	got := 0
	for i := 0; got < n*size; i++ {
		p := bufs[i%n][:]
		reads[i%n] = r.submit(backend.Op{Kind: backend.Read, FD: in, Buf: p})
		c := r.finish(reads[i%n])
		r.ok("read", c.Err)
		r.wantBytes("what was read", p[:c.N], pattern(got, c.N))
		got += c.N
	}
	for _, t := range writes {
		r.want(t, size, nil)
	}
	if _, err := unix.Read(in, bufs[0][:]); err != unix.EAGAIN {
		r.Errorf("more is in the pipe than was written: %v", err)
	}
}
