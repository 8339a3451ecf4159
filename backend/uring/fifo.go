//go:build linux

package uring

// fifo is a queue that grows as it must and allocates nothing once it has.
type fifo struct {
	ring []uint64 // a power of two
	head uint
	n    uint
}

func (f *fifo) empty() bool { return f.n == 0 }

func (f *fifo) first() uint64 { return f.at(0) }

// at gives the one that has i before it.
func (f *fifo) at(i uint) uint64 { return f.ring[(f.head+i)&uint(len(f.ring)-1)] }

func (f *fifo) pop() uint64 {
	v := f.first()
	f.head++
	f.n--
	return v
}

// full tells whether a push would make it grow.
func (f *fifo) full() bool { return f.n == uint(len(f.ring)) }

// keep drops those that keep does not return true for.
func (f *fifo) keep(keep func(uint64) bool) {
	for range f.n {
		if v := f.pop(); keep(v) {
			f.push(v)
		}
	}
}

func (f *fifo) push(v uint64) {
	if f.full() {
		grown := make([]uint64, max(64, 2*len(f.ring)))
		for i := range f.n {
			grown[i] = f.at(i)
		}
		f.ring, f.head = grown, 0
	}
	f.ring[(f.head+f.n)&uint(len(f.ring)-1)] = v
	f.n++
}
