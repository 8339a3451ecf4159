//go:build unix

package readiness

import (
	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/loans"
)

const (
	// A message of 64 KiB leaves room: a read that filled its buffer would have to be followed by another. Larger buffers
	// were slower, for what is sent from them in one piece has left the processor's cache before its end.
	defaultBufferSize  = 80 << 10
	defaultBufferCount = 1024
	enoughRoom         = 64 << 10 // for a read, in a buffer that has other messages already
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
	free    []int32  // the others that nobody borrows from, the last used last

	loans loans.Table // the buffer of each piece
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
	if p.loans.Full() {
		return nil
	}
	if p.current >= 0 {
		c := &p.buffers[p.current]
		if c.borrowers == 0 {
			p.used = 0
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
	p.used = 0
	return p.buffers[p.current].bytes
}

// available tells whether room has some.
func (p *pool) available() bool {
	return !p.loans.Full() && (len(p.free) > 0 || len(p.buffers) < p.count ||
		p.current >= 0 && (p.buffers[p.current].borrowers == 0 || p.roomy()))
}

// roomy tells whether current takes another read.
func (p *pool) roomy() bool { return p.size-p.used >= p.enough }

// lend lends the first n bytes of room.
func (p *pool) lend(n int) ([]byte, backend.Lease) {
	c := &p.buffers[p.current]
	c.borrowers++
	data := c.bytes[p.used : p.used+n : p.used+n]
	p.used += n
	return data, backend.Lease(p.loans.Lend(uint32(p.current)))
}

// release takes a part back.
func (p *pool) release(l backend.Lease) {
	i, ok := p.loans.End(uint32(l))
	if !ok {
		return
	}
	c := &p.buffers[i]
	if c.borrowers--; c.borrowers == 0 && int(i) != p.current {
		p.free = append(p.free, int32(i))
	}
}

// close ends all loans. The memory stays as long as somebody uses it.
func (p *pool) close() {
	*p = pool{size: p.size, count: p.count}
	p.loans.Close()
}
