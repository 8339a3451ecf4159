package reactor

import (
	"iter"

	"github.com/eyewall/eyewall/internal/goroutine"
)

// coroutine is a stack of its own, on which tasks run, one after the other, or the loop. It is made on the loop's thread
// and runs nowhere else: iter.Pull's switch throws where thread and lock differ from those of its making.
type coroutine struct {
	next  func() (struct{}, bool)
	yield func(struct{}) bool
	task  *task // what runs on it: the loop's own is as what handlers run; nil when it is to end

	goroutine uintptr // its ID; 0 until it has begun
}

func newCoroutine() *coroutine {
	co := new(coroutine)
	co.next, _ = iter.Pull(co.main) // without stop: main returns by itself, and that is less to keep
	return co
}

// main runs a task, or the loop, each time it is resumed from the pool, until it is ended there.
func (co *coroutine) main(yield func(struct{}) bool) {
	co.yield, co.goroutine = yield, goroutine.ID()
	co.task.loop.goroutine = co.goroutine
	returned := false
	defer func() {
		if t := co.task; t != nil { // Goexit went on once a panic of a defer on its way was recovered from; see run
			t.loop.leave(t)
		}
		if v := recover(); v != nil { // a fault of the loop's own
			panic(v)
		}
		if !returned {
			panic(errGoexit) // see unwind
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
			returned = true
			return
		}
	}
}

// end ends a coroutine that lies in the pool, or would.
func (co *coroutine) end() {
	co.task = nil
	co.next()
}

// unwind ends a coroutine whose task has called Goexit. No one can call that off, and iter.Pull has it go on in whoever
// resumed the coroutine: here that would end the loop. A panic on its way takes its place, and can be recovered from.
func (co *coroutine) unwind() {
	defer func() {
		if v := recover(); v != errGoexit {
			panic(v)
		}
	}()
	co.next()
}

// suspend goes back to whoever resumed the coroutine, until that happens again.
func (co *coroutine) suspend() { co.yield(struct{}{}) }
