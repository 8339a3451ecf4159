//go:build linux

package uring

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// lingering bounds how long the kernel is given to take a closed ring apart. It does so in a worker of its own, usually
// within some milliseconds, and newer kernels (6.18 is one) count the ring's memory against RLIMIT_MEMLOCK until then.
const lingering = time.Second

var (
	began = time.Now()

	// lastClose is when a backend was closed last, in nanoseconds after began. It is 0 at first: a process that had
	// rings may have ended just before, to make room for this one.
	lastClose atomic.Int64
)

// closedOne notes that a ring was closed that was in use. One that was made in vain does not count: whoever has too
// little memory for good would wait again each time.
func closedOne() { lastClose.Store(int64(time.Since(began))) }

// patient calls try again while it lacks memory that the kernel may still count for a closed ring.
func patient[T any](try func() (T, error)) (T, error) {
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		v, err := try()
		if !errors.Is(err, unix.ENOMEM) || time.Since(began)-time.Duration(lastClose.Load()) > lingering {
			return v, err
		}
		time.Sleep(pause)
	}
}
