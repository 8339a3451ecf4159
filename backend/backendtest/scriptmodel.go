//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// model is what must happen.
type model struct {
	choose chooser
	over   bool
	ends   []*end
	names  int
	ids    int
	done   []*call // some that have completed
}

// end is one end of a connection. Its fields are the model's, but for fd.
type end struct {
	name   string
	net    network
	peer   *end
	salt   int // where in the endless pattern the bytes sent from here begin
	sent   int
	read   int // of what the peer sent
	shut   bool
	closed bool
	recvs  []*call // in flight
	fd     int
}

func (e *end) unread() int { return e.peer.sent - e.read }

func (e *end) ended() bool { return e.peer.shut || e.peer.closed }

// call is an operation of the script. Its fields are the model's, but for those named so.
type call struct {
	id   int
	kind string
	end  *end
	size int

	token backend.Token // the performer's
	buf   []byte        // the performer's
}

// outcome is what came of a call within one step.
type outcome struct {
	call  *call
	n     int
	data  []byte
	err   error
	final bool
}

func (o *outcome) String() string {
	s := fmt.Sprintf("\t%d %s", o.call.id, o.call.kind)
	if o.n != 0 {
		s += fmt.Sprintf(" n=%d", o.n)
	}
	if len(o.data) > 0 {
		s += fmt.Sprintf(" bytes=%d sum=%016x", len(o.data), sum(o.data))
	}
	switch {
	case !o.final:
		s += " more"
	case o.err != nil:
		s += " " + errorName(o.err)
	}
	return s
}

// errorName is the same on all systems, where messages are not.
func errorName(err error) string {
	if e, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(e)
	}
	var bad *backend.OpError
	if errors.As(err, &bad) {
		return "OpError"
	}
	return err.Error()
}

// step is one of a script.
type step struct {
	text string
	do   func(p *performer)
	want []*outcome // by call
}

func (s *step) lines(outcomes []*outcome) string {
	slices.SortFunc(outcomes, func(a, b *outcome) int { return a.call.id - b.call.id })
	var b strings.Builder
	fmt.Fprintln(&b, s.text)
	for _, o := range outcomes {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}

// of gives the outcome of c within the step.
func (s *step) of(c *call) *outcome {
	for _, o := range s.want {
		if o.call == c {
			return o
		}
	}
	o := &outcome{call: c}
	s.want = append(s.want, o)
	return o
}

// bytes is how many c gets within the step.
func (s *step) bytes(c *call) int {
	for _, o := range s.want {
		if o.call == c {
			return len(o.data)
		}
	}
	return 0
}

func (s *step) finish(c *call, n int, err error) {
	o := s.of(c)
	o.n, o.err, o.final = n, err, true
}

func (m *model) pick(n int) int {
	k, ok := m.choose(n)
	if !ok {
		m.over = true
	}
	return k
}

func (m *model) call(kind string, e *end, size int) *call {
	m.ids++
	return &call{id: m.ids, kind: kind, end: e, size: size}
}

// next makes up a step; nil when the script is over.
func (m *model) next() *step {
	for range 50 {
		var s *step
		switch k := m.pick(20); {
		case m.over:
			return nil
		case k == 0 || len(m.ends) < 4:
			s = m.connect()
		case k == 1:
			s = m.closeEnd()
		case k == 2:
			s = m.halfClose()
		case k < 5:
			s = m.cancel()
		case k < 7:
			s = m.poll()
		case k == 7:
			s = m.burst()
		case k == 8:
			s = m.odd()
		case k < 14:
			s = m.recv()
		default:
			s = m.send()
		}
		if m.over {
			return nil
		}
		if s != nil {
			return s
		}
	}
	return nil
}

func (m *model) anyEnd() *end {
	if len(m.ends) == 0 {
		return nil
	}
	return m.ends[m.pick(len(m.ends))]
}

func (m *model) newPair(net network) (a, b *end) {
	m.names++
	a = &end{name: fmt.Sprintf("%s.%d.a", net, m.names), net: net, salt: m.names * 2_000_003}
	b = &end{name: fmt.Sprintf("%s.%d.b", net, m.names), net: net, salt: m.names*2_000_003 + 1_000_001, peer: a}
	a.peer = b
	m.ends = append(m.ends, a, b)
	return a, b
}

func (m *model) connect() *step {
	if len(m.ends) >= 16 {
		return nil
	}
	net := [...]network{unixNet, tcp4}[m.pick(2)]
	a, b := m.newPair(net)
	s := &step{text: "connect " + a.name + " " + b.name}
	accept, connect := m.call("accept", b, 0), m.call("connect", a, 0)
	s.finish(accept, 0, nil)
	s.finish(connect, 0, nil)
	s.do = func(p *performer) {
		ln := p.listeners[net]
		p.r.net = net
		a.fd = p.r.socket()
		if m.ids%2 == 0 {
			p.submit(accept, backend.Op{Kind: backend.Accept, FD: ln.fd})
			p.submit(connect, backend.Op{Kind: backend.Connect, FD: a.fd, Addr: ln.addr.raw})
		} else {
			p.submit(connect, backend.Op{Kind: backend.Connect, FD: a.fd, Addr: ln.addr.raw})
			p.submit(accept, backend.Op{Kind: backend.Accept, FD: ln.fd})
		}
	}
	return s
}

// deliver hands what is unread to those who wait for it, and then the end.
func (m *model) deliver(s *step, e *end) {
	for len(e.recvs) > 0 && e.unread() > 0 {
		c := e.recvs[0]
		n := e.unread()
		if c.kind == "recv" {
			n = min(n, c.size)
		}
		o := s.of(c)
		o.data = append(o.data, pattern(e.peer.salt+e.read, n)...)
		e.read += n
		if c.kind != "multi" {
			o.final = true
			e.recvs = e.recvs[1:]
			m.done = append(m.done, c)
		}
	}
	if e.unread() == 0 && e.ended() {
		for _, c := range e.recvs {
			s.finish(c, 0, io.EOF)
			m.done = append(m.done, c)
		}
		e.recvs = nil
	}
}

func (m *model) send() *step {
	e := m.anyEnd()
	n := 1 + m.pick(3000)
	bulk := m.pick(8) == 0
	if e.peer.closed && e.net != unixNet {
		return nil // TCP finds out when the answer comes
	}
	c := m.call("send", e, 0)
	if e.shut || e.peer.closed {
		s := &step{text: fmt.Sprintf("send %s %d, in vain", e.name, n)}
		s.finish(c, 0, unix.EPIPE)
		s.do = func(p *performer) { p.submit(c, backend.Op{Kind: backend.Send, FD: e.fd, Buf: pattern(0, n)}) }
		return s
	}
	if rs := e.peer.recvs; bulk && len(rs) > 0 && rs[0].kind == "multi" {
		n *= 50
	} else if e.peer.unread()+n > 20_000 {
		return nil
	}
	s := &step{text: fmt.Sprintf("send %s %d", e.name, n)}
	data := pattern(e.salt+e.sent, n)
	gather := n%3 == 0
	s.do = func(p *performer) {
		op := backend.Op{Kind: backend.Send, FD: e.fd, Buf: data}
		if gather {
			op.Buf, op.Bufs = nil, pieces(data, 1+n%100, 0, 1000)
		}
		p.submit(c, op)
	}
	e.sent += n
	s.finish(c, n, nil)
	m.deliver(s, e.peer)
	return s
}

// mayRecv tells whether another receive may wait in line at e: not behind one whose pieces the backend chooses, for the
// performer goes on with that one until it has what the model says.
func mayRecv(e *end) bool {
	if len(e.recvs) == 0 {
		return true
	}
	last := e.recvs[len(e.recvs)-1].kind
	return len(e.recvs) < 5 && last != "take" && last != "splice"
}

func (m *model) recv() *step {
	e := m.anyEnd()
	kind := [...]string{"recv", "recv", "take", "multi", "splice"}[m.pick(5)]
	size := 1 + m.pick(2000)
	late := m.pick(6) == 0
	if !mayRecv(e) || late && kind == "multi" {
		return nil
	}
	c := m.call(kind, e, size)
	s := &step{text: fmt.Sprintf("%s %s %d, late %v", kind, e.name, size, late)}
	unread := e.unread()
	s.do = func(p *performer) {
		if unread > 0 {
			p.r.arrived(e.fd, unread)
		}
		p.recv(c, late)
	}
	e.recvs = append(e.recvs, c)
	m.deliver(s, e)
	if late && len(e.recvs) > 0 && e.recvs[len(e.recvs)-1] == c {
		e.recvs = e.recvs[:len(e.recvs)-1]
		s.finish(c, 0, backend.ErrCanceled)
	}
	return s
}

// burst has receives and the bytes for them come in one turn.
func (m *model) burst() *step {
	e := m.anyEnd()
	if !mayRecv(e) || e.unread() > 0 || e.ended() || e.closed {
		return nil
	}
	var cs []*call
	for range 1 + m.pick(4) {
		cs = append(cs, m.call("recv", e, 1+m.pick(500)))
	}
	n := 1 + m.pick(3000)
	out := m.call("send", e.peer, 0)
	s := &step{text: fmt.Sprintf("burst %s %d, %d", e.name, len(cs), n)}
	data := pattern(e.peer.salt+e.peer.sent, n)
	s.do = func(p *performer) {
		for _, c := range cs {
			p.recv(c, false)
		}
		p.submit(out, backend.Op{Kind: backend.Send, FD: e.peer.fd, Buf: data})
	}
	e.recvs = append(e.recvs, cs...)
	e.peer.sent += n
	s.finish(out, n, nil)
	m.deliver(s, e)
	return s
}

func (m *model) cancel() *step {
	if m.pick(4) == 0 && len(m.done) > 0 {
		c := m.done[m.pick(len(m.done))]
		return &step{
			text: fmt.Sprintf("cancel %d, long done", c.id),
			do:   func(p *performer) { p.r.cancel(c.token) },
		}
	}
	e := m.anyEnd()
	if len(e.recvs) == 0 {
		return nil
	}
	i := m.pick(len(e.recvs))
	c := e.recvs[i]
	e.recvs = slices.Delete(e.recvs, i, i+1)
	s := &step{text: fmt.Sprintf("cancel %d", c.id), do: func(p *performer) { p.r.cancel(c.token) }}
	s.finish(c, 0, backend.ErrCanceled)
	return s
}

func (m *model) poll() *step {
	e := m.anyEnd()
	c := m.call("poll", e, 0)
	s := &step{text: "poll " + e.name}
	ready := e.unread() > 0 || e.ended()
	if ready {
		s.finish(c, unix.POLLIN, nil)
	} else {
		s.finish(c, 0, backend.ErrCanceled)
	}
	s.do = func(p *performer) {
		p.submit(c, backend.Op{Kind: backend.Poll, FD: e.fd, Events: unix.POLLIN})
		if !ready {
			p.r.poll(0)
			p.r.cancel(c.token)
		}
	}
	return s
}

func (m *model) halfClose() *step {
	e := m.anyEnd()
	if e.shut || e.peer.closed {
		return nil
	}
	s := &step{text: "half-close " + e.name, do: func(p *performer) { p.r.shutWrite(e.fd) }}
	e.shut = true
	m.deliver(s, e.peer)
	return s
}

func (m *model) closeEnd() *step {
	i := m.pick(len(m.ends))
	e := m.ends[i]
	if e.unread() > 0 {
		return nil // what is left unread would make a reset of the close
	}
	c := m.call("close", e, 0)
	s := &step{text: "close " + e.name}
	for _, r := range e.recvs {
		s.finish(r, 0, backend.ErrClosed)
	}
	s.finish(c, 0, nil)
	s.do = func(p *performer) {
		p.submit(c, backend.Op{Kind: backend.Close, FD: e.fd})
		p.r.disown(e.fd)
	}
	e.recvs, e.closed = nil, true
	m.ends = slices.Delete(m.ends, i, i+1)
	if !e.peer.closed {
		m.deliver(s, e.peer)
	}
	return s
}

// odd is what a well-behaved program has now and then.
func (m *model) odd() *step {
	switch m.pick(4) {
	case 0:
		c := m.call("connect", nil, 0)
		s := &step{text: "connect, refused"}
		s.finish(c, 0, unix.ECONNREFUSED)
		s.do = func(p *performer) {
			p.r.net = tcp4
			p.submit(c, backend.Op{Kind: backend.Connect, FD: p.r.socket(), Addr: p.nobody})
		}
		return s
	case 1:
		c := m.call("recv", nil, 0)
		s := &step{text: "bad operation"}
		s.finish(c, 0, &backend.OpError{})
		s.do = func(p *performer) { p.submit(c, backend.Op{Kind: backend.Recv, FD: -1}) }
		return s
	case 2:
		return &step{text: "wake", do: func(p *performer) { p.r.b.Wake() }}
	default:
		c := m.call("send", m.anyEnd(), 0)
		s := &step{text: "send nothing"}
		if c.end.shut || c.end.peer.closed {
			return nil // systems differ
		}
		s.finish(c, 0, nil)
		s.do = func(p *performer) { p.submit(c, backend.Op{Kind: backend.Send, FD: c.end.fd}) }
		return s
	}
}
