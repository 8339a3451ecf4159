package reactor

import (
	"fmt"
	"os"
	"strings"
)

// DebugReport is a mistake that debug mode has found.
type DebugReport struct {
	Kind  DebugKind
	Text  string // the mistake, in a line; String adds the rule and the way out
	Task  string // the name of the task that it is about; "" if it is about none
	Stack string // of the mistake, or of the call that opened or started the thing that was left behind
}

// DebugKind is the kind of a mistake.
type DebugKind uint8

const (
	LoopHeld       DebugKind = iota + 1 // a task holds its loop
	WrongGoroutine                      // another goroutine uses something that belongs to a loop
	TaskLeft                            // a task does not end though Run is to
	ConnLeft                            // a connection or a listener was left open
	BuffersHeld                         // tasks hold too many receive buffers
)

// advice is the rule that a mistake breaks, and the right way.
type advice struct{ rule, wayOut string }

var advices = map[DebugKind]advice{
	LoopHeld: {
		"what runs on a loop must not block or compute for long: all that the loop has to do waits meanwhile",
		"Offload runs what blocks on another goroutine; Task.Yield lets others run; Debug.Hold is how long is long",
	},
	WrongGoroutine: {
		"a loop and its tasks, connections, listeners and primitives are for what runs on it",
		"Conn.Shared and Listener.Shared make what any goroutine may use; Loop.Post calls a function on the loop",
	},
	TaskLeft: {
		"a task must end when its waits end with an error",
		"return the error, or one that wraps it; Task.Timeout bounds what must still be done",
	},
	ConnLeft: {
		"who opens a connection or a listener closes it, before the last task ends",
		"defer its Close where it was opened; see the stack",
	},
	BuffersHeld: {
		"a task must not hold received bytes for long while it waits: their buffers are for all connections",
		"read on, or call Conn.Release; Read copies the bytes out",
	},
}

// String is the report in lines: the mistake, the rule that it breaks, and the way out; then the stack.
func (r DebugReport) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "reactor: %s\n", r.Text)
	if r.Task != "" {
		fmt.Fprintf(&text, "\ttask: %s\n", r.Task)
	}
	if a, ok := advices[r.Kind]; ok {
		fmt.Fprintf(&text, "\trule: %s\n\tway out: %s\n", a.rule, a.wayOut)
	}
	if r.Stack != "" {
		fmt.Fprintf(&text, "\tstack:\n")
		for line := range strings.Lines(r.Stack) {
			fmt.Fprintf(&text, "\t\t%s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	return text.String()
}

// printReport prints in one piece, for reports may come from several goroutines at once.
func printReport(r DebugReport) { fmt.Fprint(os.Stderr, r.String()) }
