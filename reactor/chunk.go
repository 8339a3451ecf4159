package reactor

import (
	"slices"

	"github.com/eyewall/eyewall/backend"
)

// chunk is received bytes. They lie in a receive buffer or a pipe of the backend, under lease, or else in memory of the
// chunk's own.
type chunk struct {
	data  []byte
	next  *chunk        // the one received after it; after the last, the first
	lease backend.Lease // 0 if the bytes are in the chunk's own memory
	piped uint32        // bytes in a pipe; data is nil then
	kept  uint32        // bytes of the chunk's own memory; see input.kept
	bytes uint32        // in the last chunk of a connection: the size of all of them
	seq   uint32        // number of the chunk, among all of its loop
	taker Task          // that took it
}

func (in *chunk) size() int { return len(in.data) + int(in.piped) }

// appendTo appends the bytes of the chunk to p. It empties a pipe.
func (in *chunk) appendTo(p []byte, l *Loop) []byte {
	if in.piped == 0 {
		return append(p, in.data...)
	}
	n := len(p)
	p = slices.Grow(p, int(in.piped))
	return p[:n+l.backend.Fetch(in.lease, p[n:n+int(in.piped)])]
}

// own moves the bytes to memory of the chunk's own and gives back the receive buffer or the pipe.
func (in *chunk) own(l *Loop) {
	if in.lease == 0 {
		return
	}
	in.data = in.appendTo(nil, l)
	l.backend.Release(in.lease)
	in.lease, in.piped = 0, 0
	l.input.keep(in)
}

func (l *Loop) newChunk(data []byte, lease backend.Lease) *chunk {
	in := l.input.spare
	if in == nil {
		in = new(chunk)
	} else {
		l.input.spare = in.next
	}
	l.input.seq++
	*in = chunk{data: data, lease: lease, seq: l.input.seq}
	return in
}

// drop frees a chunk that is in no list, and the buffer or pipe that it holds.
func (l *Loop) drop(in *chunk) {
	if in.lease != 0 {
		l.backend.Release(in.lease)
	}
	l.input.kept -= int(in.kept)
	*in = chunk{next: l.input.spare}
	l.input.spare = in
}

// unread is the number of bytes that are received and not read.
func (c *conn) unread() int {
	if c.in == nil {
		return 0
	}
	return int(c.in.bytes)
}

// first is the first unread chunk, which there is, in memory.
func (c *conn) first() *chunk {
	in := c.in.next
	if in.piped != 0 {
		in.own(c.loop)
	}
	return in
}

// linkFirst makes a chunk the first unread one.
func (c *conn) linkFirst(in *chunk) {
	size := uint32(in.size())
	last := c.in
	if last == nil {
		in.next, in.bytes = in, size
		c.in = in
		return
	}
	in.next, last.next = last.next, in
	last.bytes += size
}

// link makes a chunk the last unread one.
func (c *conn) link(in *chunk) {
	last := c.in
	c.linkFirst(in) // the list is a ring
	if last != nil {
		in.bytes = last.bytes
		c.in = in
	}
}

// unlink takes out the first unread chunk, which there is.
func (c *conn) unlink() *chunk {
	last := c.in
	in := last.next
	if in == last {
		c.in = nil
	} else {
		last.next = in.next
		last.bytes -= uint32(in.size())
	}
	return in
}

// pop takes out the first unread chunk, which there is, for a reader.
func (c *conn) pop() *chunk {
	in := c.unlink()
	c.took = true
	if c.in != nil {
		c.markUnread()
	}
	if !c.readers.empty() {
		c.tellReaders()
	}
	return in
}

// dropInput forgets the unread bytes.
func (c *conn) dropInput() {
	for c.in != nil {
		c.loop.drop(c.unlink())
	}
}
