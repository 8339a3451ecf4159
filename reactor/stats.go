package reactor

import (
	"context"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Stats is what a loop has done since New. Keeping it costs next to nothing; counters only grow.
type Stats struct {
	Turns      uint64 // of the loop: completions are taken, tasks run, what they want is submitted
	Switches   uint64 // to a task and back
	Calls      uint64 // of handlers (Handle)
	Waited     uint64 // of these, how many had to wait, and so became tasks
	Accepted   uint64 // connections
	Received   uint64 // bytes
	Sent       uint64 // bytes
	SendStalls uint64 // times a writer waited for the peer to take what was written
	ReadPauses uint64 // times a connection stopped receiving since too much was unread
	Copies     uint64 // times Next lent a copy, or Splice made one, since tasks held too many receive buffers
	Posts      uint64 // functions that Post had run
	Wakes      uint64 // times that Post found the loop waiting, and woke it

	Tasks int           // that have not ended
	Conns int           // connections and listeners that are open
	Held  int           // receive buffers, or parts of some, that tasks hold: Next has lent them, or Splice sends them on
	Kept  int           // bytes received that are in memory of their own: copies, and those that nobody has read for long
	Lag   time.Duration // how long the loop took to answer; zero from Loop.Stats

	Backend backend.Stats
}

// Stats returns the loop's counters. It is for code that runs on the loop, and panics with ErrWrongGoroutine if another
// goroutine calls it; Group.Stats and Listening.Stats are for others.
func (l *Loop) Stats() Stats {
	l.mustBeHere()
	s := l.stats
	s.Held, s.Kept = l.input.held, l.input.kept
	s.Tasks, s.Conns, s.Posts, s.Wakes, s.Backend = l.live, l.opened(), l.posts.ran, l.posts.wakes.Load(), l.backend.Stats()
	return s
}

// opened is how many connections and listeners are open.
func (l *Loop) opened() int { return l.open + l.shared.count() }

// Stats asks each loop for its Stats, and waits for the answers until ctx ends, whose cause is the error then. The
// Stats of a loop that does not run are zero, and so are, beside an error, those of one that has not answered. It is
// an error to call it on one of the loops: there is Loop.Stats.
func (g *Group) Stats(ctx context.Context) ([]Stats, error) {
	return askStats(ctx, "Group.Stats", g.loops)
}

func askStats(ctx context.Context, call string, loops []*Loop) ([]Stats, error) {
	asked := time.Now()
	return askLoops(ctx, call, loops, func(l *Loop) Stats {
		s := l.Stats()
		s.Lag = time.Since(asked)
		return s
	})
}
