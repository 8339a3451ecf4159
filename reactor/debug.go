package reactor

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eyewall/eyewall/event"
)

// Debug is debug mode, which finds mistakes in the use of a loop:
//
//   - A task, or what else runs on a loop, holds it for longer than Hold. That is reported while it does, with its stack.
//   - Something that belongs to a loop is used by another goroutine. The call gets ErrWrongGoroutine, and is reported
//     with its stack, once for each place. See the package's documentation.
//   - Bytes that Next has lent are used after their time: they are overwritten with 0xDB then, so that such a use shows.
//   - Tasks hold so many receive buffers, while they wait, that others are lent copies, or wait for a buffer. That is
//     reported once a second at most, with the task that has held one for longest.
//   - Tasks do not end when Run is to, or have left connections or listeners open. Those are reported with the stack of
//     where they were begun; servers close what is theirs.
//
// It also has Loop.Dump tell of times and of where tasks were started, and labels what tasks do in profiles by their
// names: the label "task" of runtime/pprof, on top of those that the context of Run has. It costs about a microsecond
// for each switch to a task, several for each task that begins, and if goroutines cannot be told apart in a few
// instructions a system call for each call that it looks at, or microseconds on other systems than Linux.
type Debug struct {
	Hold time.Duration // (default 10 ms; negative: for ever)
	// Report is called with each mistake (default: it is printed to os.Stderr), by the loop, by the goroutine that is
	// wrong, or by one of debug mode, and perhaps by several at once. It must not wait for a loop.
	Report func(DebugReport)
}

const (
	defaultHold  = 10 * time.Millisecond
	defaultGrace = time.Second // for tasks to end in
	debugVar     = "EYEWALL_DEBUG"
)

// WithDebug turns debug mode on. The environment variable EYEWALL_DEBUG=1 does so for loops without this option.
func WithDebug(d Debug) Option { return func(o *options) { o.debug = &d } }

// debugFromEnv is debug mode as the environment has it; nil where that is off.
func debugFromEnv() *Debug {
	if v := os.Getenv(debugVar); v == "" || v == "0" {
		return nil
	}
	return new(Debug)
}

// debugging is a loop's debug mode. Where that is off there is none, and each of these is called of nil or not at all.
type debugging struct {
	loop   *Loop
	hold   time.Duration
	grace  time.Duration
	report func(DebugReport)

	// What runs, for the watchdog.

	now  atomic.Pointer[trace]
	beat atomic.Uint64 // changes whenever something else runs
	idle atomic.Bool   // nothing does, while the loop waits
	stop chan struct{}
	done chan struct{} // the watchdog has ended

	// What follows is the loop's.

	self      *trace // what is no task
	tasks     map[*task]*trace
	conns     map[*conn]callers // those that are open, and where they were opened
	listeners map[*Listener]callers
	holders   map[*chunk]holder // what tasks hold of what was received
	short     time.Time         // when it was last reported that they hold too much
	late      lateness

	told toldOf
}

// trace is what debug mode knows of a task.
type trace struct {
	begun     time.Time
	from      callers   // where
	since     time.Time // it began to wait, or to run
	event     string    // what Await waits for
	renamed   bool      // its labels are to be set anew
	name      atomic.Pointer[string]
	goroutine atomic.Uint64 // that it runs on; 0 until it does
}

func newDebugging(l *Loop, opt *Debug) *debugging {
	d := &debugging{loop: l, hold: opt.Hold, grace: defaultGrace, report: opt.Report, self: newTrace(nil),
		tasks: map[*task]*trace{}, conns: map[*conn]callers{}, listeners: map[*Listener]callers{}, holders: map[*chunk]holder{}}
	if d.hold == 0 {
		d.hold = defaultHold
	}
	if d.report == nil {
		d.report = printReport
	}
	d.now.Store(d.self)
	return d
}

func newTrace(from callers) *trace {
	now := time.Now()
	r := &trace{begun: now, since: now, from: from}
	r.name.Store(new(string))
	return r
}

// of is what is known of t, which it may be the first to ask for.
func (d *debugging) of(t *task) *trace {
	r := d.tasks[t]
	if r == nil {
		r = newTrace(nil)
		d.tasks[t] = r
	}
	return r
}

// begins is called when Run does.
func (d *debugging) begins() {
	if d.hold > 0 {
		d.stop, d.done = make(chan struct{}), make(chan struct{})
		go d.watch()
	}
}

// ends is called when no task is left.
func (d *debugging) ends() {
	if d.stop != nil {
		close(d.stop)
		<-d.done
	}
}

// enlists is told of a task that was made, or of a handler that has to wait.
func (d *debugging) enlists(t *task) {
	if r := d.of(t); r.from == nil {
		r.from = stack()
	}
}

// calls is told of a handler that is called on the coroutine that carries the loop.
func (d *debugging) calls(t *task) {
	r := newTrace(nil)
	d.tasks[t] = r
	r.goroutine.Store(d.self.goroutine.Load())
	d.label(t, r)
	d.runs(r)
}

// called is told that it has returned.
func (d *debugging) called() {
	pprof.SetGoroutineLabels(d.loop.ctx)
	d.runs(d.self)
}

// carries is told, on a coroutine, that the loop now runs there.
func (d *debugging) carries() {
	d.self.goroutine.Store(goroutineID())
	pprof.SetGoroutineLabels(d.loop.ctx)
	d.runs(d.self)
}

// starts is called on the task's coroutine, before its function.
func (d *debugging) starts(t *task) {
	r := d.of(t)
	r.goroutine.Store(goroutineID())
	d.label(t, r)
}

// stopped is called there after it.
func (d *debugging) stopped() { pprof.SetGoroutineLabels(d.loop.ctx) }

// resumes is told that the loop goes over to t.
func (d *debugging) resumes(t *task) { d.runs(d.of(t)) }

// returns is told that it comes back.
func (d *debugging) returns(t *task) {
	if r := d.tasks[t]; r != nil {
		r.since = time.Now()
	}
	d.runs(d.self)
}

func (d *debugging) runs(r *trace) {
	r.since = time.Now()
	d.now.Store(r)
	d.beat.Add(1)
}

// rests is told whether the loop waits for something to do.
func (d *debugging) rests(idle bool) {
	if d != nil {
		d.idle.Store(idle)
		d.beat.Add(1)
	}
}

// goesOn is called where the loop's own code begins with something else.
func (d *debugging) goesOn() {
	if d != nil {
		d.beat.Add(1)
	}
}

// awaits is told of what t waits for.
func (d *debugging) awaits(t *task, evs ...event.Event) {
	names := make([]string, len(evs))
	for i, ev := range evs {
		names[i] = reflect.TypeOf(ev).String()
	}
	d.of(t).event = strings.Join(names, ", ")
}

// label gives the goroutine that it is called on the task's name.
func (d *debugging) label(t *task, r *trace) {
	name := t.name()
	r.name.Store(&name)
	pprof.SetGoroutineLabels(pprof.WithLabels(d.loop.ctx, pprof.Labels("task", name)))
}

// renames is told of a task's new name.
func (d *debugging) renames(t *task) {
	if r := d.of(t); t == d.loop.running {
		d.label(t, r)
	} else {
		name := t.name()
		r.name.Store(&name)
		r.renamed = r.goroutine.Load() != 0
	}
}

// goesOnAs is called when a task has been resumed, on its coroutine.
func (d *debugging) goesOnAs(t *task) {
	if r := d.of(t); r.renamed {
		r.renamed = false
		d.label(t, r)
	}
}

// info adds to what a Dump tells.
func (d *debugging) info(t *task, i *TaskInfo) {
	r, now := d.of(t), time.Now()
	i.Age, i.Since, i.Begun = now.Sub(r.begun), now.Sub(r.since), r.from.String()
	if i.For != "" && (t.waits == waitsForEvent || t.waits == waitsForFirst) {
		i.For += " (" + r.event + ")"
	}
}

// callers is a stack.
type callers []uintptr

// stack is that of who calls what calls it.
func stack() callers { return stackAbove(4) }

// stackAbove leaves out as many functions as runtime.Callers does.
func stackAbove(skip int) callers {
	pcs := make(callers, 32)
	return pcs[:runtime.Callers(skip, pcs)]
}

// String is a line for each function, and one for its place, as in a panic; down to what the task began with.
func (c callers) String() string {
	if len(c) == 0 {
		return ""
	}
	var text strings.Builder
	frames := runtime.CallersFrames(c)
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "reactor.(*task).run") {
			return text.String()
		}
		fmt.Fprintf(&text, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		if !more {
			return text.String()
		}
	}
}
