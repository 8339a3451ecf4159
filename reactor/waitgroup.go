package reactor

// WaitGroup is for tasks of one loop to wait until a number of things is done; for tasks that belong together there is
// Task.Together, which sees to their errors, too. The zero WaitGroup waits for nothing.
type WaitGroup struct {
	owner   owner
	n       int
	waiters waitQueue
}

// Add adds n, which may be negative, to what is waited for. Below zero it panics.
func (g *WaitGroup) Add(n int) {
	g.owner.mustBeHere()
	if g.n += n; g.n < 0 {
		panic("reactor: WaitGroup: more is done than was added")
	}
	if g.n == 0 {
		g.waiters.grantAll()
	}
}

// Done is Add(-1).
func (g *WaitGroup) Done() { g.Add(-1) }

// Wait waits until all is done, or t is canceled: then the error is why.
func (g *WaitGroup) Wait(t Task) error {
	s, err := g.owner.enter(t)
	if err != nil || g.n == 0 {
		return err
	}
	return g.waiters.wait(s, waitsForWaitGroup, 0, nil)
}
