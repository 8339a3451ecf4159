package reactor

import (
	"iter"
	"unsafe"
)

// slab hands out memory for values of one type. It takes nothing back: whoever has no more use for a value keeps it for
// the next one. So values stay where they are, and need not be in a list to be found.
type slab[T any] struct {
	chunks [][]T
	n      int // values that were handed out
}

// chunkSize is bytes: a size that the allocator has, less a word that it adds.
const chunkSize = 8<<10 - 8

// perChunk is how many values a chunk has.
func (s *slab[T]) perChunk() int { return chunkSize / int(unsafe.Sizeof(*new(T))) }

func (s *slab[T]) get() *T {
	size := s.perChunk()
	if s.n == len(s.chunks)*size {
		s.chunks = append(s.chunks, make([]T, size))
	}
	v := &s.chunks[s.n/size][s.n%size]
	s.n++
	return v
}

// all is every value that was ever handed out.
func (s *slab[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range s.n {
			if size := s.perChunk(); !yield(&s.chunks[i/size][i%size]) {
				return
			}
		}
	}
}
