package reactor

// Cond is for tasks of one loop that wait until something has become true which others make so:
//
//	for !ready {
//		if err := cond.Wait(t); err != nil {
//			return err
//		}
//	}
//
// There is no lock to it, since nothing else runs between the look and the wait; where a Mutex is held for another
// reason, it is unlocked before Wait and locked after. The zero Cond is ready for use.
type Cond struct {
	owner   owner
	waiters waitQueue
}

// Wait waits for a Signal, or a Broadcast, that comes after it, or until t is canceled: then the error is why, and no
// Signal is lost on it.
func (c *Cond) Wait(t Task) error {
	s, err := c.owner.enter(t)
	if err != nil {
		return err
	}
	return c.waiters.wait(s, waitsForCond, 0, nil)
}

// Signal has the task go on that has waited longest, if there is one. It tells whether there was.
func (c *Cond) Signal() bool {
	c.owner.mustBeHere()
	return c.waiters.grantFirst()
}

// Broadcast has all tasks go on that wait.
func (c *Cond) Broadcast() {
	c.owner.mustBeHere()
	c.waiters.grantAll()
}
