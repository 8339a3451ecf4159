//go:build linux

package uring

import (
	"testing"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// A connection is looked at once after data, and not again: one that is idle leaves the loop asleep. What is closed
// meanwhile is not looked at, nor is what has its number then taken for it.
func TestLooksOnce(t *testing.T) {
	p := start(t, full, backend.Config{})
	dst := make([]backend.Completion, 8)
	idle, idlePeer := sockets(t)
	closed, closedPeer := sockets(t)
	receive := p.Submit(&backend.Op{Kind: backend.Recv, FD: idle, Multishot: true})
	p.Submit(&backend.Op{Kind: backend.Recv, FD: closed, Multishot: true})
	poll(t, p, dst, 0)
	unix.Write(idlePeer, []byte("x"))
	unix.Write(closedPeer, []byte("x"))
	for left := 2; left > 0; {
		for _, c := range poll(t, p, dst, backend.Forever) {
			p.Release(c.Lease)
			left--
		}
	}
	if len(p.looks.list) != 2 {
		t.Fatalf("%d descriptors are to be looked at, want 2", len(p.looks.list))
	}
	p.Submit(&backend.Op{Kind: backend.Close, FD: closed})
	for left := 2; left > 0; {
		left -= len(poll(t, p, dst, backend.Forever))
	}
	before := p.Stats()
	if got := poll(t, p, dst, p.Now()+3*lookAfter); len(got) > 0 {
		t.Fatalf("a completion of nothing: %+v", got)
	}
	after := p.Stats()
	if len(p.looks.list) != 0 {
		t.Errorf("%d descriptors are yet to be looked at", len(p.looks.list))
	}
	if n := after.Waits - before.Waits; n > 2 {
		t.Errorf("while nothing came the loop has slept %d times, want 2", n)
	}
	unix.Write(idlePeer, []byte("x"))
	got := poll(t, p, dst, backend.Forever)
	if len(got) != 1 || got[0].Token != receive || !got[0].More {
		t.Errorf("what came later is %+v", got)
	}
	p.Release(got[0].Lease)
}
