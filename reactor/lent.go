package reactor

import "github.com/eyewall/eyewall/backend"

// The bytes that a loop has received and nobody has read are bounded, and so are those that tasks hold while they wait:
//
//   - Of the receive buffers (Caps.BufferCount) tasks hold a quarter at most. Beyond that they are lent copies. Unread
//     bytes are copied out of the others after maxKeep, or at once while a receive waits for a buffer.
//   - Of the pipes tasks give those up that they have held for maxKeep, if receives want some. See pipes.
//   - A connection has maxUnread of unread bytes, and the rest of the piece that exceeds it.
//   - Copies take maxKept in all before memory is short. From then on a connection receives only while somebody waits for
//     its input, and one piece at a time, so that each adds no more than the piece that one task has in hand.
//
// So a loop has, at most, Caps.BufferCount*Caps.BufferSize in its backend, maxKept, and for each connection one piece of
// up to Caps.BufferSize that a task has in hand, and what its socket had when memory became short: a receive that is in
// flight then ends a turn later.

// maxKept is the bytes of received data in memory of their own from which on memory is short.
const maxKept = 64 << 20

// input is the received bytes that a loop has not given back.
type input struct {
	held  int // receive buffers that tasks hold, or parts of some
	share int // of them, how many they may
	kept  int // bytes of chunks' own memory
	most  int // of these, from where on memory is short: maxKept

	late   map[*task]*lateLoan // the loans of tasks that others have ended
	unread unreadQueue
	seq    uint32 // of the newest chunk
	spare  *chunk // to be used again
}

func newInput(caps backend.Caps) input { return input{share: caps.BufferCount / 4, most: maxKept} }

// tight reports whether memory is short.
func (i *input) tight() bool { return i.kept > i.most }

// keep counts the memory of a chunk that has some of its own.
func (i *input) keep(in *chunk) {
	size := cap(in.data)
	i.kept += size - int(in.kept)
	in.kept = uint32(size)
}

// take takes out the first unread chunk, which there is, for a task to hold while it waits for something else. The
// receive buffer that it is in stays lent only if tasks do not hold too many already.
func (c *conn) take() *chunk {
	l := c.loop
	in := c.pop()
	if l.running != nil {
		in.taker = l.running.task()
	}
	if in.lease != 0 && in.piped == 0 {
		if l.input.held < l.input.share {
			l.input.held++
		} else {
			l.copies(in)
		}
	}
	if d := l.debug; d != nil {
		d.holds(c, in)
	}
	return in
}

// copies moves a chunk out of its receive buffer since tasks hold too many of those.
//
//go:noinline
func (l *Loop) copies(in *chunk) {
	if d := l.debug; d != nil {
		d.runsShort()
	}
	l.stats.Copies++
	in.own(l)
}

// letGo is told of a chunk that was taken and that the task no longer holds.
func (l *Loop) letGo(in *chunk) {
	if in.lease != 0 && in.piped == 0 {
		l.input.held--
	}
	if d := l.debug; d != nil {
		delete(d.holders, in)
	}
}

// giveBack frees a chunk that was taken.
func (l *Loop) giveBack(in *chunk) {
	l.letGo(in)
	l.drop(in)
}

// returnLent takes back the bytes that Next has lent.
func (c *conn) returnLent() {
	if c.lent != nil {
		c.release()
	}
}

func (c *conn) release() {
	in := c.lent
	c.lent = nil
	if l := c.loop; in.taker.t == l.running || in.taker.ended() {
		l.endLoan(in)
	} else {
		l.isLate(in, c.handle())
	}
}

// lateLoan is a loan that was ended, because the connection was closed, shared or read, by another task than its taker.
// The taker may be writing the bytes, or wait for a task that does. So the loan lasts until the taker reads the
// connection again, or ends.
type lateLoan struct {
	in   *chunk
	of   Conn
	next *lateLoan // of the same taker
}

//go:noinline
func (l *Loop) isLate(in *chunk, of Conn) {
	if l.input.late == nil {
		l.input.late = map[*task]*lateLoan{}
	}
	t := in.taker.t
	l.input.late[t] = &lateLoan{in, of, l.input.late[t]}
}

// endLate ends the late loans that the running task has of the connection.
func (h Conn) endLate() {
	if h.c == nil || len(h.c.loop.input.late) == 0 {
		return
	}
	l := h.c.loop
	l.endLateIf(l.running, func(of Conn) bool { return of == h })
}

// endLateOf ends the late loans of a task that ends.
func (l *Loop) endLateOf(t *task) {
	if len(l.input.late) > 0 {
		l.endLateIf(t, func(Conn) bool { return true })
	}
}

func (l *Loop) endLateIf(t *task, ends func(of Conn) bool) {
	var kept *lateLoan
	for loan := l.input.late[t]; loan != nil; {
		next := loan.next
		if !ends(loan.of) {
			loan.next, kept = kept, loan
		} else if !l.broken { // else all loans have ended with the backend
			l.endLoan(loan.in)
		}
		loan = next
	}
	if kept != nil {
		l.input.late[t] = kept
	} else {
		delete(l.input.late, t)
	}
}

// endLoan gives a chunk back that Next has lent.
func (l *Loop) endLoan(in *chunk) {
	if l.debug != nil {
		poisons(in.data)
	}
	l.giveBack(in)
}

// Release gives back the bytes that Next has lent, which must not be used from then on. It is for a task that has
// done with the bytes and waits for something else next: then they hold no receive buffer meanwhile. If nothing is
// lent it does nothing.
func (h Conn) Release() {
	h.mustBeHere()
	if c := h.c; c != nil && c.generation == h.generation {
		c.returnLent()
	}
	h.endLate()
}
