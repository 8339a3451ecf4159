package reactor

// Mutex is for what tasks of one loop must not use at the same time, where the one that uses it waits meanwhile; what
// does not wait needs none. It goes to those who want it in the order in which they came. The zero Mutex is unlocked.
type Mutex struct {
	owner   owner
	locked  bool
	waiters waitQueue
}

// Lock waits until the mutex is t's, or t is canceled: then the error is why, and the mutex is not t's. A canceled task
// gets one that is free. A task that locks it twice waits for itself.
func (m *Mutex) Lock(t Task) error {
	s, err := m.owner.enter(t)
	switch {
	case err != nil:
		return err
	case m.tryLock():
		return nil
	}
	return m.waiters.wait(s, waitsForMutex, 0, nil)
}

// TryLock locks the mutex if it is free, and tells whether it was.
func (m *Mutex) TryLock() bool {
	m.owner.mustBeHere()
	return m.tryLock()
}

func (m *Mutex) tryLock() bool {
	if m.locked {
		return false
	}
	m.locked = true
	return true
}

// Unlock gives the mutex to the next one. It need not be called by the task that locked it, and panics where nobody has.
func (m *Mutex) Unlock() {
	m.owner.mustBeHere()
	if !m.locked {
		panic("reactor: Unlock of a Mutex that is not locked")
	}
	m.locked = m.waiters.grantFirst()
}
