package reactor

import (
	"time"

	"github.com/eyewall/eyewall/backend"
)

// A backend has few pipes, and a task that sends one on to a peer that does not read holds it for as long. So a task
// that has held one for maxKeep gives it up if a receive wants one: the bytes that were not sent yet are moved to memory,
// and their sending goes on from there.

// pipes is the tasks of a loop that have pipes to send on, in the order in which they began.
type pipes struct {
	first, last *pipeSend
	wanted      int       // receives that found no pipe
	spare       *pipeSend // to be used again
}

// pipeSend is a task that sends a pipe on.
type pipeSend struct {
	c          *conn // that it sends to
	in         *chunk
	sent       int // bytes, by Sends that are complete
	since      time.Duration
	phase      pipePhase
	prev, next *pipeSend
}

type pipePhase uint8

const (
	pipeWaits  pipePhase = iota // for output that was gathered before
	pipeSends                   // a Send of the pipe is in flight
	pipeMoves                   // that one was canceled, to go on from memory
	pipeIsGone                  // its bytes are in memory, or sent
)

// add puts a task at the end.
func (p *pipes) add(c *conn, in *chunk) *pipeSend {
	s := p.spare
	if s == nil {
		s = new(pipeSend)
	} else {
		p.spare = s.next
	}
	*s = pipeSend{c: c, in: in, since: c.loop.backend.Now(), prev: p.last}
	if p.last == nil {
		p.first = s
	} else {
		p.last.next = s
	}
	p.last = s
	return s
}

// remove takes s out, which is there unless it moves or its pipe is gone.
func (p *pipes) remove(s *pipeSend) {
	if s.phase >= pipeMoves {
		return
	}
	if s.prev == nil {
		p.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		p.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}

// movePipes has tasks give up the pipes that they have held for long, the oldest first, one for each receive that found
// none. It returns when to look again.
func (l *Loop) movePipes() time.Duration {
	now := l.backend.Now()
	p := &l.pipes
	for ; p.wanted > 0 && p.first != nil && !l.input.tight(); p.wanted-- {
		if when := p.first.since + maxKeep; now < when {
			return when
		}
		p.first.move()
	}
	p.wanted = 0
	return backend.Forever
}

// move gives the pipe up, once no Send of it is in flight.
func (s *pipeSend) move() {
	l := s.c.loop
	l.pipes.remove(s)
	if s.phase == pipeWaits {
		s.phase = pipeIsGone
		s.in.own(l)
		return
	}
	s.phase = pipeMoves
	l.backend.Cancel(s.c.out.token)
}

// Complete implements backend.Sink, for the Send of a pipe, or of bytes that were in one.
func (s *pipeSend) Complete(done *backend.Completion) {
	c := s.c
	l := c.loop
	s.sent += done.N
	if s.phase == pipeMoves && done.Err == ErrCanceled && !c.closing {
		s.phase = pipeIsGone
		s.in.piped -= uint32(done.N)
		s.in.own(l)
		c.out.token = l.submit(backend.Op{Kind: backend.Send, FD: int(c.fd), Buf: s.in.data, Sink: s})
		l.wake(c.out.writer.task) // it may have meant to end it
		return
	}
	l.pipes.remove(s)
	s.phase = pipeIsGone
	all := *done
	all.N = s.sent
	(*sender)(c).Complete(&all)
}

// sendPiped sends a chunk that is in a pipe, after the bytes written before, and waits until all is sent. Afterwards
// the chunk may be in memory, as far as it was not sent by then.
func (h Conn) sendPiped(in *chunk) (int, error) {
	c, t, err := h.enter()
	if err != nil {
		return 0, writeError(c, err)
	}
	size := in.size()
	s := c.loop.pipes.add(c, in)
	defer s.free()
	if err := h.awaitTurn(t, alone); err != nil {
		return 0, writeError(c, err)
	}
	if s.phase == pipeWaits && !t.canceled {
		s.phase = pipeSends
	}
	return h.sendNow(t, size, backend.Op{Kind: backend.Send, Lease: in.lease, Buf: in.data, Sink: s})
}

// free is called when the task goes on.
func (s *pipeSend) free() {
	l := s.c.loop
	if l.broken { // perhaps while the Send is in flight
		return
	}
	l.pipes.remove(s)
	*s = pipeSend{next: l.pipes.spare}
	l.pipes.spare = s
}

// pipeReceiver is a connection as the sink of a receive into a pipe.
type pipeReceiver conn

// Complete implements backend.Sink.
func (r *pipeReceiver) Complete(done *backend.Completion) {
	if done.Data != nil {
		r.loop.pipes.wanted++
	}
	(*receiver)(r).Complete(done)
}
