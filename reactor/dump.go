package reactor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Dump is the tasks of a loop, or of a group, at one moment.
type Dump []TaskInfo

// TaskInfo is what one task does.
type TaskInfo struct {
	Loop     int       // the place of its loop in the group; 0 without one
	Number   int       // of the task in its loop; that of one that has ended is used again
	Name     string    // see Task.Name
	State    TaskState // what follows is of one that waits
	For      string    // what it waits for, such as "Mutex.Lock"
	Canceled error     // why its waits end; nil where they need not

	// Only debug mode (WithDebug) keeps these; else they are zero.
	Age   time.Duration // since the task was started
	Since time.Duration // since it began to wait, or to run
	Begun string        // where it was started: a stack
}

// TaskState is whether a task runs.
type TaskState uint8

const (
	TaskWaiting TaskState = iota
	TaskReady             // it runs when its turn comes
	TaskRunning
)

// String is the state in a word.
func (s TaskState) String() string { return [...]string{"waiting", "ready", "running"}[s] }

// String is a line for each task.
func (d Dump) String() string {
	var text strings.Builder
	for i := range d {
		fmt.Fprintln(&text, &d[i])
	}
	return text.String()
}

// String is what the task does, in a line.
func (i *TaskInfo) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "loop %d task %d", i.Loop, i.Number)
	if i.Name != "" {
		fmt.Fprintf(&text, " %q", i.Name)
	}
	fmt.Fprintf(&text, " %v", i.State)
	if i.For != "" {
		fmt.Fprintf(&text, " for %s", i.For)
	}
	if i.Age > 0 {
		fmt.Fprintf(&text, " since %v, of age %v", i.Since, i.Age)
	}
	if i.Canceled != nil {
		fmt.Fprintf(&text, " (canceled: %v)", i.Canceled)
	}
	return text.String()
}

// Dump tells of each task that has not ended what it does. A connection of Handle that is idle has none. It is for what
// runs on the loop, which it holds meanwhile: about a millisecond for a thousand tasks.
func (l *Loop) Dump() Dump {
	l.mustBeHere()
	d := dumper{loop: l, places: map[*task]string{}}
	d.look()
	var all Dump
	n := -1
	for t := range l.tasks.all() {
		if n++; t.enlisted || t == l.running {
			all = append(all, d.info(t, n))
		}
	}
	return all
}

// AskDump has the loop make a Dump, and waits for it until ctx ends, whose cause is the error then: a loop that a task
// holds does not answer. A loop that does not run has no task. Any goroutine may call it but those
// that run the loop: there it is an error, and there is Dump.
func (l *Loop) AskDump(ctx context.Context) (Dump, error) {
	return askDump(ctx, "Loop.AskDump", []*Loop{l})
}

// Dump is Loop.AskDump for all loops of the group. Where there is an error, the Dump has the tasks of those that
// answered.
func (g *Group) Dump(ctx context.Context) (Dump, error) { return askDump(ctx, "Group.Dump", g.loops) }

func askDump(ctx context.Context, call string, loops []*Loop) (Dump, error) {
	all, err := askLoops(ctx, call, loops, (*Loop).Dump)
	return slices.Concat(all...), err
}

// place is the loop's in its group.
func (l *Loop) place() int {
	if l.group == nil {
		return 0
	}
	return slices.Index(l.group.loops, l)
}

// dumper looks up what tasks do not know of themselves.
type dumper struct {
	loop   *Loop
	places map[*task]string // what connections and listeners are waited for
}

func (d *dumper) look() {
	l := d.loop
	for c := range l.conns.all() {
		switch {
		case c.fd < 0 || c.readers.empty() && c.out == nil:
		case c.closing:
			d.write(c.out, "Conn.Close", c.name())
		default:
			d.wait(&c.readers, "Conn.Read", c.name())
			d.write(c.out, "Conn.Write", c.name())
		}
	}
	for _, ln := range l.listeners {
		d.wait(&ln.waiters, "Listener.Accept", ln.addr.String())
	}
}

// wait notes the names of the waits of the tasks in q.
func (d *dumper) wait(q *waitQueue, what, where string) {
	for w := range q.all() {
		d.places[w.task] = what + " on " + where
	}
}

// write notes the names of the waits of the tasks that wait for a connection's output.
func (d *dumper) write(out *output, what, where string) {
	if out == nil {
		return
	}
	d.wait(&out.writers, what, where)
	d.wait(&out.flushers, what, where)
	if out.writer != nil {
		d.places[out.writer.task] = what + " on " + where
	}
}

func (d *dumper) info(t *task, n int) TaskInfo {
	i := TaskInfo{Loop: d.loop.place(), Number: n, Name: t.name(), Canceled: t.cause()}
	switch {
	case t == d.loop.running:
		i.State = TaskRunning
	case t.queued:
		i.State = TaskReady
	default:
		i.For = d.waitsFor(t)
	}
	if d.loop.debug != nil {
		d.loop.debug.info(t, &i)
	}
	return i
}

func (d *dumper) waitsFor(t *task) string {
	if where, ok := d.places[t]; ok && t.waits == waitsForOther {
		return where
	}
	return t.waits.String()
}
