package reactor

import (
	"fmt"
	"strings"
)

// DeadlockError is why Run has ended where every task waited and nothing could wake one: each waited for what other
// tasks do, no Timeout was to end that, nothing was posted, and no task waited for what comes from outside of the loop.
// From there come time, input and the like, though not that of a connection which is open and no task waits for, Ready
// for an event that has called Hold, the result of a promise that NewPromise has made, what a Mailbox, Receive or Offload
// wait for, the end of a context given to Task.With, for as long as its body runs, and what is done with a SharedConn or
// a SharedListener, for as long as it is open.
//
// Not counted is what the loop cannot know of: a Post, or Go, that another goroutine is yet to make, and the end of
// Run's own context, unless it has come. A loop whose tasks wait for such a Post only, as in a Cond that it is to
// signal, wants a promise or a Mailbox in its place. In a Group, where other loops may post at any time, there is no
// such error.
type DeadlockError struct {
	Tasks []WaitingTask // all of them
}

// WaitingTask is what a task waits for.
type WaitingTask struct {
	Number int    // of the task in its loop; that of one that has ended is used again
	Name   string // see Task.Name
	For    string // such as "Mutex.Lock"
}

// maxListed is how many tasks the text of a DeadlockError lists.
const maxListed = 20

// Error lists the first tasks.
func (e *DeadlockError) Error() string {
	var text strings.Builder
	text.WriteString("reactor: deadlock: every task waits, and nothing is left that could wake one:")
	for i, t := range e.Tasks {
		if i == maxListed {
			fmt.Fprintf(&text, "\n\tand %d more", len(e.Tasks)-i)
			break
		}
		fmt.Fprintf(&text, "\n\ttask %d %q waits for %s", t.Number, t.Name, t.For)
	}
	return text.String()
}

// deadlocked tells whether the tasks of a loop, none of which can run now, never will.
func (l *Loop) deadlocked() bool {
	switch {
	case l.live == 0 || l.outside > 0 || l.timeouts > 0 || l.stopping || l.group != nil:
		return false
	case l.inside < l.live && (l.flight > 0 || l.timers.Len() > 0): // which wakes only who waits for it
		return false
	}
	return !l.wanted() && l.ctx.Err() == nil && l.shared.count() == 0
}

func (l *Loop) newDeadlockError() *DeadlockError {
	e := new(DeadlockError)
	for _, t := range l.Dump() {
		e.Tasks = append(e.Tasks, WaitingTask{t.Number, t.Name, t.For})
	}
	return e
}
