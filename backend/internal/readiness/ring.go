//go:build unix

package readiness

import "github.com/eyewall/eyewall/backend/internal/ops"

// ring is a queue of descriptors, first in first out. A bit in the descriptor's state says that it is in it, so that
// it is there once; one that was closed meanwhile has lost its bit, which makes its place void.
type ring struct {
	list []*ops.FD // its length is a power of two
	head uint      // how many were taken out so far
	tail uint      // how many were put in so far
}

func (r *ring) len() int { return int(r.tail - r.head) }

func (r *ring) push(f *ops.FD) {
	if r.tail-r.head == uint(len(r.list)) {
		r.grow()
	}
	r.list[r.tail&uint(len(r.list)-1)] = f
	r.tail++
}

// pop takes out the first; there is one.
func (r *ring) pop() *ops.FD {
	f := r.list[r.head&uint(len(r.list)-1)]
	r.head++
	return f
}

func (r *ring) grow() {
	list := make([]*ops.FD, max(64, 2*len(r.list)))
	for i := r.head; i != r.tail; i++ {
		list[i&uint(len(list)-1)] = r.list[i&uint(len(r.list)-1)]
	}
	r.list = list
}
