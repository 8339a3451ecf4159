//go:build linux

package load

import (
	"golang.org/x/sys/unix"
)

// conn is a connection: two streams of messages, there and back.
type conn struct {
	id   uint64
	tx   uint64 // the next message to be sent
	rx   uint64 // the next one to come back
	off  uint64 // bytes that the kernel has taken
	fd   int32
	got  int32 // bytes of message rx that have come
	dead bool
	seen bool    // something came back while measuring
	at   []int64 // Closed: when messages were queued, the last Depth of them
}

// flush sends what is queued, until the kernel takes no more; an edge tells when it does again.
func (w *worker) flush(c *conn) {
	size := uint64(w.size)
	for !c.dead && c.off < c.tx*size {
		p := w.from(c.id, c.off/size, c.tx, int(c.off%size))
		n, e := send(c.fd, p)
		switch e {
		case 0:
			c.off += uint64(n)
		case unix.EAGAIN:
			return
		case unix.EINTR:
		default:
			w.fail(c, e)
		}
	}
}

// drain receives until nothing is left, and gives it to feed.
func (w *worker) drain(c *conn, answered func(c *conn, now int64)) {
	for !c.dead {
		n, e := recv(c.fd, w.in)
		switch {
		case e == unix.EAGAIN:
			return
		case e == unix.EINTR:
			continue
		case e != 0:
			w.fail(c, e)
			return
		case n == 0:
			w.fail(c, errEOF)
			return
		}
		w.feed(c, w.in[:n], nanotime(), answered)
		if n < len(w.in) { // what comes from now on makes a new edge
			return
		}
	}
}

// feed takes received bytes and calls answered for each message that they complete.
func (w *worker) feed(c *conn, p []byte, now int64, answered func(c *conn, now int64)) {
	for len(p) > 0 {
		n := min(w.size-int(c.got), len(p))
		if c.rx == c.tx || !w.check(p[:n], c.id, c.rx, int(c.got)) {
			w.mismatches++
			if c.rx == c.tx { // nobody asked for it
				return
			}
		}
		p = p[n:]
		if c.got += int32(n); int(c.got) == w.size {
			c.got = 0
			answered(c, now)
			c.rx++
		}
	}
}

// fail gives the connection up.
func (w *worker) fail(c *conn, err error) {
	if c.dead {
		return
	}
	c.dead = true
	if w.stopped() { // the server may be gone already
		return
	}
	w.errors++
	if w.firstErr == nil {
		w.firstErr = err
	}
}
