package reactor

import (
	"slices"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// unread is a connection that holds receive buffers for a reader who is not waiting.
type unread struct {
	c          *conn
	generation uint32
	since      time.Duration // when it was first looked at; 0: not yet
}

// markUnread notes that the connection is one.
//
//go:noinline
func (c *conn) markUnread() {
	if !c.isUnread {
		c.isUnread = true
		c.loop.unread = append(c.loop.unread, unread{c: c, generation: c.generation})
	}
}

// keepUnread copies what has been unread for too long out of the receive buffers, and returns when to look again. Those
// buffers are for all connections, and many messages share one: a few slow readers would take them from everybody.
func (l *Loop) keepUnread() time.Duration {
	now := l.backend.Now()
	again := backend.Forever
	kept := l.unread[:0]
	for _, u := range l.unread {
		switch {
		case u.c.generation != u.generation: // closed meanwhile
			continue
		case u.c.in == nil:
			u.c.isUnread = false
			continue
		case u.since == 0:
			u.since = now
		case now-u.since >= maxKeep:
			u.c.copyOut()
			u.c.isUnread = false
			continue
		}
		again = min(again, u.since+maxKeep)
		kept = append(kept, u)
	}
	l.unread = kept
	return again
}

// copyOut gives back the receive buffers that hold what is unread.
func (c *conn) copyOut() {
	for in := c.in; in != nil; in = in.next {
		if in.piped != 0 {
			in.unpipe(c.loop)
		}
		if in.lease != 0 {
			in.data = slices.Clone(in.data)
			c.loop.backend.Release(in.lease)
			in.lease = 0
		}
	}
}

func (l *Loop) newChunk(data []byte, lease backend.Lease) *chunk {
	in := l.spareChunks
	if in == nil {
		in = new(chunk)
	} else {
		l.spareChunks = in.next
	}
	*in = chunk{data: data, lease: lease}
	return in
}

func (l *Loop) freeChunk(in *chunk) {
	*in = chunk{next: l.spareChunks}
	l.spareChunks = in
}
