package reactor

import "iter"

// slab hands out memory for values of one type. It takes nothing back: whoever has no more use for a value keeps it for
// the next one. So values stay where they are, and need not be in a list to be found.
type slab[T any] struct {
	chunks []*[slabSize]T
	n      int // values that were handed out
}

// slabSize is how many values a chunk has: with the allocator's own word, one of 64 bytes each, or 128, fills a size that
// the allocator has.
const slabSize = 63

func (s *slab[T]) get() *T {
	if s.n == len(s.chunks)*slabSize {
		s.chunks = append(s.chunks, new([slabSize]T))
	}
	v := &s.chunks[s.n/slabSize][s.n%slabSize]
	s.n++
	return v
}

// all is every value that was ever handed out.
func (s *slab[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range s.n {
			if !yield(&s.chunks[i/slabSize][i%slabSize]) {
				return
			}
		}
	}
}
