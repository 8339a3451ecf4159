//go:build linux

package uring

import (
	"errors"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// lastClosed has a backend closed last at that time from now on, while the test runs.
func lastClosed(t *testing.T, from time.Duration) {
	lastClose.Store(int64(time.Since(began) + from))
	t.Cleanup(closedOne)
}

// shortOfMemory has the kernel lack memory for a ring of that many entries until it was asked so often. It returns how
// many entries were asked for.
func shortOfMemory(t *testing.T, entries uint32, times int) *[]uint32 {
	var tried []uint32
	refuse(t, func(c ring.Config) (*ring.Ring, error) {
		if tried = append(tried, c.Entries); c.Entries >= entries && len(tried) <= times {
			return nil, &ring.Error{Call: "io_uring_setup", Errno: unix.ENOMEM}
		}
		return ring.New(c)
	})
	return &tried
}

// The memory of rings that were just closed still counts. A new ring waits for it, and becomes no smaller.
func TestMemoryOfClosedRings(t *testing.T) {
	g := need(t, full)
	lastClosed(t, time.Hour) // for a machine that takes its time
	tried := shortOfMemory(t, 64, 5)
	b, err := g.open(backend.Config{Entries: 64})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	for _, n := range *tried {
		if n != 64 {
			t.Fatalf("it asked for queues of %d", *tried)
		}
	}
	if took := time.Since(began) - time.Duration(lastClose.Load()); took < 0 || took > time.Hour {
		t.Errorf("the last one was closed %v ago", took)
	}

	// So does a probe, which has only one size.
	lastClosed(t, time.Hour)
	shortOfMemory(t, 8, 5)
	if _, err := fresh(g).probe(); err != nil {
		t.Errorf("probe: %v", err)
	}
}

// A ring that was made in vain is no reason to wait for its memory: the next attempt would be as slow.
func TestTooLittleMemoryIsToldAtOnce(t *testing.T) {
	lastClosed(t, -2*lingering)
	was := lastClose.Load()
	tried := shortOfMemory(t, 0, 1000)
	for range 3 {
		if _, err := fresh(full).open(backend.Config{}); !errors.Is(err, unix.ENOMEM) {
			t.Errorf("open: %v", err)
		}
	}
	if len(*tried) != 3 || lastClose.Load() != was {
		t.Errorf("it tried %d times to make a ring, want once each", len(*tried))
	}
}
