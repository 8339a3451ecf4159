package reactor

import "sync"

// sharedConns are the connections of a loop that are SharedConns and open. Any goroutine may use it. While there is one
// the loop does not end by itself.
type sharedConns struct {
	mu      sync.Mutex
	all     map[*SharedConn]struct{}
	awaited bool // the loop goes on only for them
	over    bool // the loop is to end
}

// add adds a connection, unless the loop is to end.
func (c *sharedConns) add(s *SharedConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	if c.all == nil {
		c.all = map[*SharedConn]struct{}{}
	}
	c.all[s] = struct{}{}
	return true
}

// remove removes a connection that is closed. It reports whether the loop is to be told, for it was the last.
func (c *sharedConns) remove(s *SharedConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, s)
	return c.awaited && len(c.all) == 0
}

// await reports whether there are any. If so the loop is told when the last one is removed.
func (c *sharedConns) await() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaited = len(c.all) > 0
	return c.awaited
}

func (c *sharedConns) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// end closes all, and those that are yet to come: the loop is to end.
func (c *sharedConns) end() {
	c.mu.Lock()
	all := c.all
	c.all, c.over = nil, true
	c.mu.Unlock()
	for s := range all {
		s.end()
	}
}
