package reactor

import (
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
	Posts      uint64 // functions that Post had run
	Wakes      uint64 // times that Post found the loop waiting, and woke it

	Tasks int           // that have not ended
	Conns int           // connections and listeners that are open
	Lag   time.Duration // how long the loop took to answer; zero from Loop.Stats

	Backend backend.Stats
}

// Stats tells what the loop has done. It is for what runs on the loop; Listening.Stats is for others.
func (l *Loop) Stats() Stats {
	s := l.stats
	s.Tasks, s.Conns, s.Posts, s.Wakes, s.Backend = l.live, l.open, l.posts.ran, l.posts.wakes.Load(), l.backend.Stats()
	return s
}

// askStats asks the loops, and waits for their answers. One that does not run answers with zeros.
func askStats(loops []*Loop) []Stats {
	all := make([]Stats, len(loops))
	for i, l := range loops {
		if l.state.Load() == fresh {
			continue
		}
		answer := make(chan Stats, 1)
		asked := time.Now()
		err := l.Post(func() {
			s := l.Stats()
			s.Lag = time.Since(asked)
			answer <- s
		})
		if err != nil {
			continue
		}
		select {
		case all[i] = <-answer:
		case <-l.finished: // and perhaps without having run what was posted
		}
	}
	return all
}
