//go:build unix

package readiness

import "github.com/eyewall/eyewall/backend"

const (
	// A message of 64 KiB leaves room: a read that filled its buffer would have to be followed by another. Larger buffers
	// were slower, for what is sent from them in one piece has left the processor's cache before its end.
	defaultBufferSize  = 80 << 10
	defaultBufferCount = 1024
	enoughRoom         = 64 << 10 // for a read, in a buffer that has other messages already

	// A lease is one more than the index of its buffer, then the number of the piece: no two that are out are the same.
	pieceBits = 16
	maxPieces = 1<<pieceBits - 1
)

// pool lends parts of big buffers: messages are packed into one buffer while it has enough room, and it is used anew
// when nobody borrows from it. In a steady exchange that is the same few KiB again and again, which stay in cache.
// Buffers are allocated when they are first needed.
type pool struct {
	size, count int // of buffers
	enough      int // room for a read; a buffer that has less is done

	buffers []buffer // those allocated so far
	current int      // the one that reads go to, or -1
	used    int      // bytes of current that are lent or have been
	pieces  int      // in which these are
	free    []int32  // the others that nobody borrows from, the last used last
}

type buffer struct {
	bytes     []byte
	borrowers int // leases in it
}

func (p *pool) init(size, count int) {
	if size == 0 {
		size = defaultBufferSize
	}
	if count == 0 {
		count = defaultBufferCount
	}
	*p = pool{size: size, count: count, enough: min(enoughRoom, max(size/4, 1)), current: -1}
}

// room is where the next read goes, or nil while everything is lent.
func (p *pool) room() []byte {
	if p.current >= 0 {
		c := &p.buffers[p.current]
		if c.borrowers == 0 {
			p.used, p.pieces = 0, 0
		}
		if p.roomy() {
			return c.bytes[p.used:]
		}
	}
	switch {
	case len(p.free) > 0:
		last := len(p.free) - 1
		p.current = int(p.free[last])
		p.free = p.free[:last]
	case len(p.buffers) < p.count:
		p.current = len(p.buffers)
		p.buffers = append(p.buffers, buffer{bytes: make([]byte, p.size)})
	default:
		p.current = -1
		return nil
	}
	p.used, p.pieces = 0, 0
	return p.buffers[p.current].bytes
}

// available tells whether room has some.
func (p *pool) available() bool {
	return len(p.free) > 0 || len(p.buffers) < p.count ||
		p.current >= 0 && (p.buffers[p.current].borrowers == 0 || p.roomy())
}

// roomy tells whether current takes another read.
func (p *pool) roomy() bool { return p.size-p.used >= p.enough && p.pieces < maxPieces }

// lend lends the first n bytes of room.
func (p *pool) lend(n int) ([]byte, backend.Lease) {
	c := &p.buffers[p.current]
	c.borrowers++
	data := c.bytes[p.used : p.used+n : p.used+n]
	p.used += n
	p.pieces++
	return data, backend.Lease((p.current+1)<<pieceBits | p.pieces)
}

// release takes a part back.
func (p *pool) release(l backend.Lease) {
	i := int(l>>pieceBits) - 1
	if i < 0 || i >= len(p.buffers) { // none, or released after Close
		return
	}
	c := &p.buffers[i]
	if c.borrowers--; c.borrowers > 0 || i == p.current {
		return
	}
	if c.borrowers < 0 {
		panic("backend: a lease was released twice")
	}
	p.free = append(p.free, int32(i))
}
