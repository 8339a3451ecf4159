//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// A script is a random mix of operations over several connections, both ends of which the backend serves. A model knows
// what must come of each step; a step waits for that before the next begins, so that what happens is the same
// everywhere, and the transcript of a backend can be compared with the model's and with any other's.
//
// What the contract leaves open is left out of the transcript: into how many pieces lent bytes are cut, and the order
// of completions of different descriptors.

var scriptConfig = backend.Config{Entries: 16, BufferSize: 1024, BufferCount: 16}

const scriptSteps = 400

var scriptTests = func() []test {
	var list []test
	for seed := range uint64(8) {
		list = append(list, test{name: fmt.Sprintf("seed_%d", seed), options: options{cfg: scriptConfig}, body: func(r *rig) {
			perform(r, randomly(seed, scriptSteps))
		}})
	}
	return list
}()

// Transcript runs the script of a seed on a backend and returns what happened, line by line. It is the same on every
// backend, and fails the test where it is not what the contract says.
func Transcript(t testing.TB, open Open, seed uint64) string {
	text := ""
	drive(t, open, unixNet, options{cfg: scriptConfig}, func(r *rig) {
		text = perform(r, randomly(seed, scriptSteps))
	})
	return text
}

// Fuzz is a fuzz test of a backend: each input is a script, and the backend must do what the model says. Run it with
// -fuzzminimizetime=1x: what the kernel does makes coverage vary, which keeps go test busy for nothing.
//
//	func FuzzScript(f *testing.F) { backendtest.Fuzz(f, epoll.Open) }
func Fuzz(f *testing.F, open Open) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 7))
		data := make([]byte, 300)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		drive(t, open, unixNet, options{cfg: scriptConfig}, func(r *rig) { perform(r, fromBytes(data)) })
	})
}

// chooser makes the choices of a script: a number below n, and ok false when the script is over.
type chooser func(n int) (choice int, ok bool)

func randomly(seed uint64, steps int) chooser {
	rng := rand.New(rand.NewPCG(seed, 1))
	left := steps * 4
	return func(n int) (int, bool) {
		left--
		return rng.IntN(n), left >= 0
	}
}

func fromBytes(data []byte) chooser {
	data = data[:min(len(data), 2000)]
	return func(n int) (int, bool) {
		if len(data) < 2 {
			return 0, false
		}
		k := int(data[0])
		if data = data[1:]; n > 256 {
			k |= int(data[0]) << 8
			data = data[1:]
		}
		return k % n, true
	}
}

// performer carries a script out.
type performer struct {
	r         *rig
	listeners map[network]listener
	nobody    []byte // an address where nobody listens
	calls     map[backend.Token]*call
	step      *step
	got       *step // what came of it, in its want
	held      []backend.Lease
}

type listener struct {
	fd   int
	addr address
}

// perform runs a script and compares what happens with the model, step by step. It returns the transcript.
func perform(r *rig, choose chooser) string {
	p := &performer{r: r, listeners: map[network]listener{}, calls: map[backend.Token]*call{}}
	for _, net := range []network{unixNet, tcp4} {
		r.net = net
		fd, addr := r.listen(16)
		p.listeners[net] = listener{fd, addr}
	}
	_, addr := r.bind()
	p.nobody = addr.raw
	m := &model{choose: choose}
	var text strings.Builder
	for {
		s := m.next()
		if s == nil {
			break
		}
		p.step, p.got = s, &step{text: s.text}
		s.do(p)
		began := time.Now()
		for tries := 0; !p.satisfied() && (tries < 5 || time.Since(began) < limit/4); tries++ {
			p.take(r.in(limit / 4))
		}
		p.take(0)
		got, want := p.got.lines(p.got.want), s.lines(s.want)
		text.WriteString(got)
		if got != want {
			r.Fatalf("this step:\n%sought to be:\n%safter:\n%s", got, want, tail(text.String(), 30))
		}
	}
	r.release(p.held...)
	return text.String()
}

// tail is the last n lines of s.
func tail(s string, n int) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// satisfied tells whether all that must come of the step has.
func (p *performer) satisfied() bool {
	for _, w := range p.step.want {
		i := slices.IndexFunc(p.got.want, func(o *outcome) bool { return o.call == w.call })
		if i < 0 {
			return false
		}
		if o := p.got.want[i]; len(o.data) < len(w.data) || w.final && !o.final {
			return false
		}
	}
	return true
}

func (p *performer) submit(c *call, op backend.Op) {
	c.token = p.r.submit(op)
	p.calls[c.token] = c
}

// recv submits c. Where it is late its time is over at once: in the turn of its submission, or the next one.
func (p *performer) recv(c *call, late bool) {
	op := backend.Op{Kind: backend.Recv, FD: c.end.fd, Multishot: c.kind == "multi"}
	if c.kind == "recv" {
		c.buf = make([]byte, c.size)
		op.Buf = c.buf
	}
	if c.kind == "splice" {
		op.Kind = backend.Splice
	}
	p.submit(c, op)
	if !late {
		return
	}
	t := c.token
	if c.size%2 == 0 {
		p.take(0)
	}
	p.r.cancel(t)
}

// take polls once and files what came.
func (p *performer) take(until time.Duration) {
	r := p.r
	n := r.poll(until)
	for _, got := range r.dst[:n] {
		r.records[got.Token].queue = nil // it is looked at here
		c := p.calls[got.Token]
		o := p.got.of(c)
		switch {
		case c.kind == "accept" && got.Err == nil:
			c.end.fd = got.N
		case c.kind == "recv":
			o.data = append(o.data, c.buf[:got.N]...)
		case c.kind == "take" || c.kind == "multi" || c.kind == "splice":
			o.data = append(o.data, r.lent(&got)...)
			if got.Lease != 0 {
				p.held = append(p.held, got.Lease)
			}
			if len(p.held) > 3 {
				r.release(p.held[0])
				p.held = p.held[1:]
			}
			if c.kind != "multi" && got.Err == nil && len(o.data) < p.step.bytes(c) {
				p.recv(c, false) // the rest comes in pieces of the backend's choice
				continue
			}
		case c.kind == "poll":
			o.n = got.N & unix.POLLIN
		default:
			o.n = got.N
		}
		o.err, o.final = got.Err, !got.More
	}
}
