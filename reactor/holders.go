package reactor

import (
	"fmt"
	"time"
)

// poison overwrites lent bytes when their time is over.
const poison = 0xDB

func poisons(data []byte) {
	for i := range data {
		data[i] = poison
	}
}

// shortEvery is how often it is reported at most that tasks hold too many receive buffers.
const shortEvery = time.Second

// holder is the task that holds received bytes, and the connection that they came from.
type holder struct {
	task  Task
	from  Conn
	since time.Time
}

// holds is told of a chunk that the running task takes.
func (d *debugging) holds(c *conn, in *chunk) {
	d.holders[in] = holder{d.loop.running.task(), c.handle(), time.Now()}
}

// runsShort is told that tasks hold as many receive buffers as they may, or that a receive waits for one. It reports the
// task that has held one for longest, if any does.
func (d *debugging) runsShort() {
	now := time.Now()
	if now.Sub(d.short) < shortEvery {
		return
	}
	var longest holder
	for in, h := range d.holders {
		if in.lease != 0 && in.piped == 0 && (longest.from.c == nil || h.since.Before(longest.since)) {
			longest = h
		}
	}
	if longest.from.c == nil {
		return
	}
	d.short = now
	from := "a connection"
	if longest.from.FD() >= 0 {
		from = longest.from.c.name()
	}
	text := fmt.Sprintf("tasks hold %d of %d receive buffers while they wait; the one with what came from %s has been held for %v: "+
		"the task should read on, or call Conn.Release", d.loop.input.held, d.loop.caps.BufferCount, from, now.Sub(longest.since))
	report := DebugReport{Kind: BuffersHeld, Text: text, Task: longest.task.Name()}
	if r := d.tasks[longest.task.t]; r != nil && !longest.task.Done() {
		report.Stack = r.from.String()
	}
	d.report(report)
}
