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

// output is what a connection has written and not sent.
type output struct {
	gathered []byte // not submitted
	flight   []byte // being sent; nil also while a writer's own bytes are
	token    backend.Token
	sent     int     // what the last send moved
	next     *output // in the loop's list of spare ones
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
	if out == nil || c.sending || len(out.gathered) > 0 {
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
