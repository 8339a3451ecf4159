package reactor

import (
	"sync"

	"golang.org/x/sys/unix"
)

// lane takes accepted descriptors from the loop that accepts for a group to another one. What is accepted in one turn
// goes in one Post.
type lane struct {
	server  *server
	to      *Loop
	deliver func() // what is posted
	weight  int32  // what a connection adds to the load of its loop: itself, and the task that Serve has for it

	mu     sync.Mutex
	fds    []int // on their way
	posted bool  // deliver is, and has not begun
	taken  []int // being delivered; to's
}

func newLane(s *server, to *Loop) *lane {
	v := &lane{server: s, to: to, weight: 2}
	if s.lazy {
		v.weight = 1
	}
	v.deliver = v.arrive
	return v
}

// send sends a descriptor; false where the loop takes nothing more.
func (v *lane) send(fd int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.posted && v.to.Post(v.deliver) != nil {
		return false
	}
	v.posted = true
	v.fds = append(v.fds, fd)
	v.to.incoming.Add(v.weight)
	return true
}

// arrive runs on the loop that the descriptors are for.
func (v *lane) arrive() {
	v.mu.Lock()
	v.taken, v.fds = v.fds, v.taken[:0]
	v.posted = false
	v.mu.Unlock()
	l := v.to
	for _, fd := range v.taken {
		if l.stopping {
			l.discard(fd)
		} else {
			v.server.serve(l, fd)
		}
	}
	l.publish()
	l.incoming.Add(-v.weight * int32(len(v.taken)))
}

// drop closes what did not arrive before the loops ended.
func (v *lane) drop() {
	for _, fd := range v.fds {
		unix.Close(fd)
	}
	v.fds = nil
}
