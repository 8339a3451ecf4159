//go:build linux

package load

// closed keeps Depth messages on their way on each connection: an answer has the next message sent.
func (w *worker) closed() {
	depth := uint64(w.spec.Depth)
	now := nanotime()
	for i := range w.conns {
		c := &w.conns[i]
		c.at = make([]int64, depth)
		for range depth {
			c.at[c.tx%depth] = now
			c.tx++
		}
	}
	for i := range w.conns {
		w.flush(&w.conns[i])
	}
	answered := func(c *conn, now int64) {
		w.total++
		if c.rx == 0 {
			w.win.warm.Add(1)
		}
		if w.win.within(now) {
			w.answered++
			c.seen = true
			w.hist.RecordValue(now - c.at[c.rx%depth])
		}
		c.at[c.tx%depth] = now
		c.tx++
	}
	for !w.stopped() {
		wait := w.turn(nanotime())
		if w.ended {
			w.finish()
		}
		w.each(wait, answered)
	}
}
