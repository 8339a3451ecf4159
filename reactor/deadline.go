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
	news    bool // that of reading has passed, and no call of the handler has been told so
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
// takes it away. A read that waits when input comes before t gets that input, however late the loop is. Call it on the
// loop: from a task, a handler or a posted function. A handler (Handle) is called when the deadline passes, also if that
// is during a call. See net.Conn.
func (h Conn) SetReadDeadline(t time.Time) error { return h.setDeadline(t, false) }

// SetWriteDeadline ends waits of Write, Writev, ReadFrom, Flush, CloseWrite, and of Splice to the connection at t, and
// later ones, with ErrDeadline. Bytes that were written before are still sent.
func (h Conn) SetWriteDeadline(t time.Time) error { return h.setDeadline(t, true) }

func (h Conn) setDeadline(at time.Time, write bool) error {
	c, err := h.open()
	if err != nil {
		return c.wrap("set", err)
	}
	if c.rare == nil && at.IsZero() {
		return nil
	}
	d := &c.more().read
	if write {
		d = &c.rare.write
	}
	d.c, d.write, d.expired, d.news = c, write, false, false
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
	c := d.c
	if d.write {
		if c.out != nil {
			c.out.wakeAll()
		}
		return
	}
	d.news = true
	if c.readers.empty() {
		c.due()
	} else {
		c.readers.wakeAll()
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
