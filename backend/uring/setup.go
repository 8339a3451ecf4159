//go:build linux

package uring

import (
	"errors"

	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// rung is a way to use io_uring.
type rung struct {
	name string
	rank int

	// multishot tells whether one request accepts, or receives, again and again, with buffers from a buffer ring. The
	// other way, buffers are given to the kernel by requests, as kernels before 5.19 want it.
	multishot bool

	// flags are ways to set the ring up, the best first: a kernel refuses flags that it does not know.
	flags []uint32

	probed probeOnce
}

var full = &rung{
	name: "full", rank: 40, multishot: true,
	flags: []uint32{
		deferred | ring.SetupNoSQArray,
		deferred,
	},
}

var basic = &rung{
	name: "basic", rank: 30,
	flags: []uint32{
		common | ring.SetupSubmitAll | ring.SetupCoopTaskrun | ring.SetupTaskrunFlag | ring.SetupSingleIssuer,
		common | ring.SetupSubmitAll | ring.SetupCoopTaskrun | ring.SetupTaskrunFlag,
		common,
	},
}

const (
	common   = ring.SetupClamp
	deferred = common | ring.SetupSubmitAll | ring.SetupTaskrunFlag | ring.SetupSingleIssuer | ring.SetupDeferTaskrun
)

const (
	defaultEntries = 1024
	leastEntries   = 8
	completions    = 8 // for each entry: a multishot request completes many times
	leastComplete  = 256
)

// newRing makes a ring of so many entries, or of fewer if there is no memory for them.
func newRing(flags uint32, entries int) (*ring.Ring, error) {
	if entries == 0 {
		entries = defaultEntries
	}
	for n := uint32(entries); ; n /= 2 {
		r, err := patient(func() (*ring.Ring, error) {
			return makeRing(ring.Config{Entries: n, Completions: max(n*completions, leastComplete), Flags: flags})
		})
		if err == nil || !errors.Is(err, unix.ENOMEM) || n/2 < leastEntries {
			return r, err
		}
	}
}

// makeRing stands between for tests, which have no kernel that refuses.
var makeRing = ring.New
