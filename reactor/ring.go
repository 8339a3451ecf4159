package reactor

// ring is values, first in, first out. It grows as needed.
type ring[T any] struct {
	buf  []T
	head int // of buf, the oldest
	n    int
}

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		larger := make([]T, max(2*r.n, 4))
		copied := copy(larger, r.buf[r.head:])
		copy(larger[copied:], r.buf[:r.head])
		r.buf, r.head = larger, 0
	}
	r.buf[(r.head+r.n)%len(r.buf)] = v
	r.n++
}

// pop takes out the oldest; there is one.
func (r *ring[T]) pop() T {
	v := r.buf[r.head]
	r.buf[r.head] = *new(T) // for the garbage collector
	r.head = (r.head + 1) % len(r.buf)
	r.n--
	return v
}

// at is the ith of them, the oldest being the 0th.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)%len(r.buf)] }
