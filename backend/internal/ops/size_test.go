package ops

import (
	"testing"
	"unsafe"
)

// An idle connection holds one of each: growth is a decision.
func TestSizes(t *testing.T) {
	if s := unsafe.Sizeof(Op{}); s > 56 {
		t.Errorf("Op has %d bytes, more than 88", s)
	}
	if s := unsafe.Sizeof(FD{}); s > 40 {
		t.Errorf("FD has %d bytes, more than 40", s)
	}
}
