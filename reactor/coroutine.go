package reactor

import "iter"

// coroutine is a stack of its own, on which tasks run, one after the other, or the loop. It is made on the loop's thread
// and runs nowhere else: iter.Pull's switch throws where thread and lock differ from those of its making.
type coroutine struct {
	next  func() (struct{}, bool)
	yield func(struct{}) bool
	task  *task // what runs on it: the loop's own is as what handlers run; nil when it is to end
}

func newCoroutine() *coroutine {
	co := new(coroutine)
	co.next, _ = iter.Pull(co.main) // without stop: main returns by itself, and that is less to keep
	return co
}

// main runs a task, or the loop, each time it is resumed from the pool, until it is ended there.
func (co *coroutine) main(yield func(struct{}) bool) {
	co.yield = yield
	defer func() {
		if t := co.task; t != nil { // Goexit went on once a panic of a defer on its way was recovered from; see run
			t.loop.bury(t)
		}
	}()
	for {
		if t := co.task; t.runs() {
			t.run()
		} else {
			t.loop.work(co)
		}
		co.task = nil
		yield(struct{}{})
		if co.task == nil {
			return
		}
	}
}

// end ends a coroutine that lies in the pool, or would.
func (co *coroutine) end() {
	co.task = nil
	co.next()
}

// suspend goes back to whoever resumed the coroutine, until that happens again.
func (co *coroutine) suspend() { co.yield(struct{}{}) }

// pool keeps coroutines that have no task: making one allocates and costs several switches.
type pool struct {
	idle []*coroutine // the one used last is used next, for its stack is in the cache
}

// maxIdle bounds the pool. Each coroutine in it holds a stack of at least 2 KiB.
const maxIdle = 16384

func (p *pool) get() *coroutine {
	last := len(p.idle) - 1
	if last < 0 {
		return newCoroutine()
	}
	co := p.idle[last]
	p.idle = p.idle[:last]
	return co
}

func (p *pool) put(co *coroutine) {
	if len(p.idle) == maxIdle {
		co.end()
		return
	}
	p.idle = append(p.idle, co)
}

// drop ends every coroutine in the pool.
func (p *pool) drop() {
	for _, co := range p.idle {
		co.end()
	}
	p.idle = nil
}
