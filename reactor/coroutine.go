package reactor

import "iter"

// coroutine is a stack of its own, on which tasks run, one after the other, or the loop. It is made on the loop's thread
// and runs nowhere else: iter.Pull's switch throws where thread and lock differ from those of its making.
type coroutine struct {
	loop  *Loop
	next  func() (struct{}, bool)
	yield func(struct{}) bool
	task  *task      // what runs on it; nil while that is the loop, or nothing
	call  *task      // as which handlers run on it while it carries the loop
	link  *coroutine // the next one in the pool; itself when it is to end
}

func newCoroutine(l *Loop) *coroutine {
	co := &coroutine{loop: l}
	co.next, _ = iter.Pull(co.main) // without stop: main returns by itself, and that is less to keep
	return co
}

// main runs a task, or the loop, each time it is resumed from the pool, until it is ended there.
func (co *coroutine) main(yield func(struct{}) bool) {
	co.yield = yield
	for {
		if co.task != nil {
			co.task.run()
		} else {
			co.loop.work(co)
		}
		yield(struct{}{})
		if co.link == co {
			return
		}
	}
}

// end ends a coroutine that lies in the pool, or would.
func (co *coroutine) end() {
	co.link = co
	co.next()
}

// suspend goes back to whoever resumed the coroutine, until that happens again.
func (co *coroutine) suspend() { co.yield(struct{}{}) }

// pool keeps coroutines that have no task: making one allocates and costs several switches.
type pool struct {
	top *coroutine // the one used last is used next, for its stack is in the cache
	n   int
}

// maxIdle bounds the pool. Each coroutine in it holds a stack of at least 2 KiB.
const maxIdle = 16384

func (p *pool) get(l *Loop) *coroutine {
	co := p.top
	if co == nil {
		return newCoroutine(l)
	}
	p.top, co.link = co.link, nil
	p.n--
	return co
}

func (p *pool) put(co *coroutine) {
	if p.n == maxIdle {
		co.end()
		return
	}
	co.link, p.top = p.top, co
	p.n++
}

// drop ends every coroutine in the pool.
func (p *pool) drop() {
	for p.top != nil {
		co := p.top
		p.top = co.link
		co.end()
	}
	p.n = 0
}
