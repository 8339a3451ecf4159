package reactor

import (
	"slices"
	"time"

	"github.com/eyewall/eyewall/backend"
)

const (
	// maxUnread bounds the bytes that a connection receives before somebody reads them.
	maxUnread = 256 << 10
	// maxKeep bounds how long unread bytes, or bytes that are being sent on, keep a receive buffer or a pipe from others
	// that want one.
	maxKeep = 10 * time.Millisecond
	// scarceFor is how long after a receive has waited for a buffer unread bytes are given none at all. A backend tells
	// that a receive begins to wait, and not for how long.
	scarceFor = 10 * maxKeep
)

// unreadQueue is the connections that have unread bytes and nobody waiting for them, in the order in which they came to
// have some.
type unreadQueue struct {
	list    ring[unread]
	seen    int           // of list, those that keepUnread has looked at
	starved uint64        // the backend's count of receives that had to wait, at the last look
	scarce  time.Duration // until when all are copied out at once
}

// unread is a connection in the queue.
type unread struct {
	c          *conn
	generation uint32
	seq        uint32        // of the newest chunk of the loop when keepUnread first looked at it
	since      time.Duration // when that was
}

// markUnread puts the connection in the queue, unless it is there.
//
//go:noinline
func (c *conn) markUnread() {
	if !c.isUnread {
		c.isUnread = true
		c.loop.input.unread.list.push(unread{c: c, generation: c.generation})
	}
}

// over reports whether the connection has nothing to do in the queue any more.
func (u *unread) over() bool {
	switch {
	case u.c.generation != u.generation: // it was closed
		return true
	case u.c.in == nil:
		u.c.isUnread = false
		return true
	}
	return false
}

// keepUnread copies bytes that were unread for maxKeep out of the receive buffers and pipes, and returns when to look
// again. Those are for all connections, and many messages share one: a few slow readers would take them from everybody.
// Each look takes the time of those that are new and those that are due.
func (l *Loop) keepUnread() time.Duration {
	now := l.backend.Now()
	q := &l.input.unread
	if starved := l.backend.Stats().Starved; starved != q.starved {
		q.starved, q.scarce = starved, now+scarceFor
		if l.debug != nil {
			l.debug.runsShort()
		}
	}
	q.look(now, l.input.seq)
	for n := q.list.n; n > 0; n-- {
		u := q.list.at(0)
		if !u.over() {
			if now < u.since+maxKeep && now >= q.scarce {
				break
			}
			u.c.isUnread = false
			if int32(u.c.in.next.seq-u.seq) > 0 && now >= q.scarce { // all that was there then has been read
				u.c.markUnread()
			} else {
				u.c.copyOut()
			}
		}
		q.list.pop()
		q.seen--
	}
	q.look(now, l.input.seq)
	if q.list.n == 0 {
		return backend.Forever
	}
	return q.list.at(0).since + maxKeep
}

// look notes when those that are new were first looked at.
func (q *unreadQueue) look(now time.Duration, seq uint32) {
	for ; q.seen < q.list.n; q.seen++ {
		u := q.list.at(q.seen)
		u.since, u.seq = now, seq
	}
}

// copyOut moves all that is unread to one piece of memory.
func (c *conn) copyOut() {
	l := c.loop
	size := c.unread()
	var all *chunk
	if c.in.next.lease == 0 {
		all = c.unlink() // it grows, as append has it
	} else {
		all = l.newChunk(nil, 0)
	}
	all.data = slices.Grow(all.data, size-len(all.data))
	for c.in != nil {
		in := c.unlink()
		all.data = in.appendTo(all.data, l)
		l.drop(in)
	}
	l.input.keep(all)
	c.link(all)
}
