package ops

import (
	"testing"
	"unsafe"
)

// An idle connection holds one of each: growth is a decision.
func TestSizes(t *testing.T) {
	if s := unsafe.Sizeof(Op{}); s > 64 { // a line of the cache
		t.Errorf("Op has %d bytes, more than 64", s)
	}
	if s := unsafe.Sizeof(FD{}); s > 48 {
		t.Errorf("FD has %d bytes, more than 48", s)
	}
}
