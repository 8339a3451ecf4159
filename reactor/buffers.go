package reactor

import (
	"math/bits"

	"github.com/eyewall/eyewall/backend"
)

const (
	smallestBuffer = 512      // bytes: the stride keeps many small writes close together
	largestBuffer  = 64 << 10 // bytes: what a connection gathers before a writer has to wait
	spareBytes     = 1 << 20  // of each size that are kept
)

// buffers hands out memory for output, in powers of two. A connection has some only while it has output.
type buffers struct {
	spare [8][][]byte // by size; the one used last is used next
}

func bufferClass(n int) int {
	return bits.Len(uint((max(n, smallestBuffer) - 1) / smallestBuffer))
}

// get returns an empty buffer with room for n bytes, up to largestBuffer.
func (b *buffers) get(n int) []byte {
	class := bufferClass(n)
	if list := b.spare[class]; len(list) > 0 {
		buf := list[len(list)-1]
		b.spare[class] = list[:len(list)-1]
		return buf
	}
	return make([]byte, 0, smallestBuffer<<class)
}

// put takes back what get returned.
func (b *buffers) put(buf []byte) {
	class := bufferClass(cap(buf))
	if len(b.spare[class]) < spareBytes/cap(buf) {
		b.spare[class] = append(b.spare[class], buf[:0])
	}
}

// grow returns buf with room for n more bytes.
func (b *buffers) grow(buf []byte, n int) []byte {
	switch {
	case cap(buf)-len(buf) >= n:
		return buf
	case buf == nil:
		return b.get(n)
	}
	larger := append(b.get(len(buf)+n), buf...)
	b.put(buf)
	return larger
}

// output is the bytes that a connection has written and not sent, and the tasks that wait for them.
type output struct {
	gathered []byte // not submitted
	flight   []byte // being sent; nil also while a writer's own bytes are
	token    backend.Token
	writer   *queuer // whose own bytes are being sent; nil if flight is, or nothing

	written  uint64    // bytes that were written since the output was made, gathered or a writer's own
	done     uint64    // how many of them are not to be sent any more
	writers  waitQueue // tasks that are to write, each with its need
	flushers waitQueue // tasks that wait until their bytes are sent, each with their end in written; those of Close

	next *output // in the loop's list of spare ones
}

// awaitSent puts t into the queue of those that wait until done has come to end.
func (out *output) awaitSent(t *task, end uint64) {
	t.turn.n = int64(end)
	out.flushers.push(&t.turn)
}

// tellFlushers ends the waits of the flushers with err.
func (out *output) tellFlushers(err error) {
	for w := out.flushers.first(); w != nil; w = out.flushers.first() {
		w.slot = err
		w.grant()
	}
}

// wakeAll makes all that wait look whether they still may.
func (out *output) wakeAll() {
	out.writers.wakeAll()
	out.flushers.wakeAll()
	if w := out.writer; w != nil {
		w.task.loop.wake(w.task)
	}
}

// output is the connection's, to write to.
func (c *conn) output() *output {
	if c.out == nil {
		l := c.loop
		if c.out = l.spareOut; c.out == nil {
			c.out = new(output)
		} else {
			l.spareOut, c.out.next = c.out.next, nil
		}
	}
	return c.out
}

// freeOutput gives it back once there is nothing left in it.
func (c *conn) freeOutput() {
	l, out := c.loop, c.out
	if out == nil || c.sending || len(out.gathered) > 0 || !out.writers.empty() || !out.flushers.empty() {
		return
	}
	*out = output{next: l.spareOut}
	l.spareOut, c.out = out, nil
}

// gathered is how many bytes are written and not submitted.
func (c *conn) gathered() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.gathered)
}
