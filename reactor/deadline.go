package reactor

import (
	"time"

	"github.com/eyewall/eyewall/internal/timers"
)

// deadline is one direction's.
type deadline struct {
	c       *conn // whose it is
	write   bool  // else that of reading
	expired bool
	timer   timers.Timer[expirer]
}

// SetDeadline sets both SetReadDeadline and SetWriteDeadline.
func (h Conn) SetDeadline(t time.Time) error {
	if err := h.SetReadDeadline(t); err != nil {
		return err
	}
	return h.SetWriteDeadline(t)
}

// SetReadDeadline ends reads that wait at t, and later ones, with ErrDeadline, until it is set again; the zero Time
// takes it away. It comes from whatever runs on the loop. A handler (Handle) is called when it passes. See net.Conn.
func (h Conn) SetReadDeadline(t time.Time) error { return h.setDeadline(t, false) }

// SetWriteDeadline does the same for what writes: Write, Writev, ReadFrom, Flush, CloseWrite, and Splice to it. Bytes that were written before are still sent.
func (h Conn) SetWriteDeadline(t time.Time) error { return h.setDeadline(t, true) }

func (h Conn) setDeadline(at time.Time, write bool) error {
	c := h.c
	if c == nil || c.generation != h.generation {
		return opErrorClosed("set")
	}
	c.loop.elsewhere()
	if c.rare == nil && at.IsZero() {
		return nil
	}
	d := &c.more().read
	if write {
		d = &c.rare.write
	}
	d.c, d.write, d.expired = c, write, false
	l := c.loop
	l.timers.Stop(&d.timer)
	if at.IsZero() {
		return nil
	}
	if left := time.Until(at); left > 0 {
		l.setTimer(&d.timer, d, l.after(left))
	} else {
		d.expire(l)
	}
	return nil
}

func (d *deadline) expire(l *Loop) {
	d.expired = true
	switch c := d.c; {
	case d.write:
		c.writers.wake(l)
	case c.readers.head != nil:
		c.readers.wake(l)
	default:
		c.due()
	}
}

func (c *conn) readExpired() bool  { return c.rare != nil && c.rare.read.expired }
func (c *conn) writeExpired() bool { return c.rare != nil && c.rare.write.expired }

// clearDeadlines takes both away.
func (c *conn) clearDeadlines() {
	if r := c.rare; r != nil {
		c.loop.timers.Stop(&r.read.timer)
		c.loop.timers.Stop(&r.write.timer)
		r.read, r.write = deadline{}, deadline{}
	}
}
