package reactor

import (
	"fmt"

	"github.com/eyewall/eyewall/internal/timers"
)

// opens is told of a connection, and closes of its end; likewise of a listener.
func (d *debugging) opens(c *conn)  { d.conns[c] = stack() }
func (d *debugging) closes(c *conn) { delete(d.conns, c) }

func (d *debugging) opensListener(ln *Listener) { d.listeners[ln] = stack() }

// leavesOpen reports connections and listeners that no task is left for.
func (d *debugging) leavesOpen() {
	for c, from := range d.conns {
		if c.fd >= 0 && !c.closing && c.handler == nil {
			d.report(DebugReport{ConnLeft, "a connection was left open: " + c.name(), "", from.String()})
		}
	}
	for ln, from := range d.listeners {
		if !ln.closed && ln.server == nil {
			d.report(DebugReport{ConnLeft, "a listener was left open: " + ln.addr.String(), "", from.String()})
		}
	}
}

// lateness is the timer of tasks that are to end.
type lateness struct {
	set   bool
	timer timers.Timer[expirer]
}

// isToEnd is told that all tasks are.
func (d *debugging) isToEnd() {
	if !d.late.set {
		d.late.set = true
		d.loop.setTimer(&d.late.timer, d, d.loop.after(d.grace))
	}
}

// expire reports those that have not ended.
func (d *debugging) expire(l *Loop) {
	tasks := l.Dump()
	for _, i := range tasks[:min(len(tasks), maxListed)] {
		text := fmt.Sprintf("a task has not ended for %v, though Run is to", d.grace)
		if i.For != "" {
			text += "; it waits for " + i.For
		}
		d.report(DebugReport{TaskLeft, text, i.Name, i.Begun})
	}
}

// forces is told of a task that is ended by force, since it goes on though all its waits are refused.
func (d *debugging) forces(t *task) {
	d.report(DebugReport{TaskLeft, "a task ignores that its loop ends", t.name(), d.of(t).from.String()})
}
