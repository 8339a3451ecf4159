//go:build linux

package load

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	burst = 64              // messages sent in a row before answers are looked for
	drain = 2 * time.Second // how long answers are waited for after the end
)

// open sends at a fixed rate, one connection after the other, whatever comes back. Latency runs from the moment at which
// a message should have been sent: where the server, or its full socket, held it up, that counts (no coordinated
// omission).
func (w *worker) open() {
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	n := uint64(len(w.conns))
	interval := 1e9 / (w.spec.Rate * float64(n) / float64(w.spec.Conns)) // of this worker
	start := nanotime()
	due := func(k uint64) int64 { return start + int64(float64(k)*interval) }
	answers := uint64(0) // of messages due in the window
	answered := func(c *conn, now int64) {
		w.total++
		if w.win.within(now) {
			w.answered++
		}
		if at := due(c.rx*n + (c.id - w.conns[0].id)); !w.over && w.win.within(at) {
			c.seen = true
			answers++
			w.hist.RecordValue(now - at)
		}
	}
	var sent, inWindow uint64
	for !w.stopped() {
		now := nanotime()
		wait := w.turn(now)
		for range burst {
			at := due(sent)
			if at > now {
				wait = min(wait, time.Duration(at-now))
				break
			}
			wait = 0
			c := &w.conns[sent%n]
			c.tx++
			sent++
			if !w.over && w.win.within(at) {
				inWindow++
				w.late.RecordValue(now - at)
			}
			w.flush(c)
			now = nanotime()
		}
		if w.ended && (answers == inWindow && due(sent) >= w.win.to.Load() || now > w.win.to.Load()+int64(drain)) {
			w.unanswered = inWindow - answers
			w.finish()
		}
		if w.spec.Spin && wait < tick/4 {
			wait = 0
		}
		w.each(wait, answered)
	}
}
