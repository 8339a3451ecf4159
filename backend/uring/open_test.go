//go:build linux

package uring

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// refuse has the set-up of rings go through f while the test runs.
func refuse(t *testing.T, f func(ring.Config) (*ring.Ring, error)) {
	was := makeRing
	makeRing = f
	t.Cleanup(func() { makeRing = was })
}

// fresh is a rung like g that has not been probed.
func fresh(g *rung) *rung {
	return &rung{name: g.name, rank: g.rank, multishot: g.multishot, flags: g.flags}
}

func TestDenied(t *testing.T) {
	lastClosed(t, -2*lingering)
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS, unix.ENOMEM, unix.EOPNOTSUPP, unix.EACCES, unix.EINVAL} {
		refuse(t, func(ring.Config) (*ring.Ring, error) { return nil, &ring.Error{Call: "io_uring_setup", Errno: errno} })
		for _, g := range []*rung{full, basic} {
			b, err := fresh(g).open(backend.Config{})
			if b != nil || !errors.Is(err, errno) || !strings.Contains(err.Error(), unix.ErrnoName(errno)+" from io_uring_setup") {
				t.Errorf("%s: %v, %v; want %v", g.name, b, err, errno)
			}
		}
	}
}

// A kernel that does not know all flags is asked with fewer.
func TestOlderKernel(t *testing.T) {
	for _, g := range []*rung{full, basic} {
		need(t, g)
		for i := range g.flags {
			var tried []uint32
			refuse(t, func(c ring.Config) (*ring.Ring, error) {
				tried = append(tried, c.Flags)
				if c.Flags != g.flags[i] {
					return nil, &ring.Error{Call: "io_uring_setup", Errno: unix.EINVAL}
				}
				return ring.New(c)
			})
			b, err := fresh(g).open(backend.Config{})
			if err != nil {
				if errors.Is(err, unix.EINVAL) && i < len(g.flags)-1 {
					continue // the kernel that the test runs on is one of those
				}
				t.Fatalf("%s with flags %#x: %v", g.name, g.flags[i], err)
			}
			b.Close()
			if len(tried) != i+2 { // for the probe, then for good
				t.Errorf("%s: tried flags %#x, want up to the %d.", g.name, tried, i+1)
			}
		}
	}
}

func TestProbedOnce(t *testing.T) {
	need(t, full)
	rings := 0
	refuse(t, func(c ring.Config) (*ring.Ring, error) {
		rings++
		return ring.New(c)
	})
	g := fresh(full)
	for range 3 {
		b, err := g.open(backend.Config{})
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	if probes := rings - 3; probes < 1 || probes > len(g.flags) {
		t.Errorf("%d rings for three backends", rings)
	}
}

// An attempt that fails midway leaves completions behind, which are not those of the next attempt.
func TestProbeFailsMidway(t *testing.T) {
	need(t, full)
	rings := 0
	refuse(t, func(c ring.Config) (*ring.Ring, error) {
		r, err := ring.New(c)
		if err != nil {
			return r, err
		}
		if rings++; rings == 1 {
			for range 3 {
				e := r.SQE() // nobody waits for its completion
				e.Opcode, e.UserData = ring.OpNop, 99
			}
		}
		return r, err
	})
	can, err := fresh(full).probe()
	if err != nil || can.incremental || rings < 2 {
		t.Errorf("%+v, %v, with %d rings; want plain buffers to work", can, err, rings)
	}
}

// Where locked memory is scarce the queues are made smaller.
func TestLittleMemory(t *testing.T) {
	g := need(t, full)
	for _, most := range []uint32{16, 4} {
		var tried []uint32
		refuse(t, func(c ring.Config) (*ring.Ring, error) {
			if tried = append(tried, c.Entries); c.Entries > most {
				return nil, &ring.Error{Call: "io_uring_setup", Errno: unix.ENOMEM}
			}
			return ring.New(c)
		})
		b, err := g.open(backend.Config{Entries: 64})
		if most < leastEntries {
			if !errors.Is(err, unix.ENOMEM) || tried[len(tried)-1] != leastEntries {
				t.Errorf("tried %d: %v", tried, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		tried = slices.Compact(tried) // the memory of the rings of other tests is waited for first
		if want := []uint32{64, 32, 16}; !slices.Equal(tried, want) {
			t.Errorf("tried %d entries, want %d", tried, want)
		}
	}
}

// What was got before a failure is given back.
func TestOpenFailsHalfway(t *testing.T) {
	g := need(t, full)
	before := descriptors(t)
	refuse(t, func(ring.Config) (*ring.Ring, error) {
		return nil, &ring.Error{Call: "io_uring_setup", Errno: unix.EMFILE}
	})
	if _, err := g.open(backend.Config{}); !errors.Is(err, unix.EMFILE) {
		t.Error(err)
	}
	refuse(t, func(c ring.Config) (*ring.Ring, error) {
		r, err := ring.New(c)
		if err == nil {
			_, err = ring.NewBuffers(r, bufferGroup, 8, false) // the group is taken
		}
		return r, err
	})
	if _, err := g.open(backend.Config{}); !errors.Is(err, unix.EEXIST) {
		t.Error(err)
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors are left of a backend that could not be opened", n-before)
	}
}

func TestRegistered(t *testing.T) {
	found := 0
	for _, d := range backend.Drivers() {
		if d.Name == ring.Name && (d.Rung == "full" && d.Rank == 40 || d.Rung == "basic" && d.Rank == 30) {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of two rungs are registered in %v", found, backend.Drivers())
	}
	need(t, basic)
	b, c, err := backend.Open("io_uring:basic", backend.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if caps := b.Caps(); c.Rung != "basic" || caps.Rung != "basic" || caps.Name != ring.Name || caps.Multishot {
		t.Errorf("%+v, %+v", c, caps)
	}
}

// A backend that was dropped without Start gives everything back.
func TestDropped(t *testing.T) {
	g := need(t, full)
	before := descriptors(t)
	for range 5 {
		if _, err := g.open(backend.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		runtime.GC()
		if time.Sleep(time.Millisecond); descriptors(t) <= before {
			return
		}
	}
	t.Errorf("%d descriptors are left", descriptors(t)-before)
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// What a completion touches: growth is a decision.
func TestSizes(t *testing.T) {
	if s := unsafe.Sizeof(buffer{}); s > 12 {
		t.Errorf("buffer has %d bytes, more than 12", s)
	}
}
