//go:build unix

package readiness

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// maxWait bounds what a Poller is asked to wait. POSIX has select(2) take 31 days; more is an error on some systems, such
// as 100,000,000 seconds on Darwin, and 68 years do not fit a 32-bit timespec. Poll waits again until its time has come.
const maxWait = 24 * time.Hour

// memoryTries bounds how often Wait is tried while the kernel lacks memory for it. With the pauses between, which double
// from memoryPause up to maxMemoryPause, that takes about a second.
const (
	memoryTries    = 32
	memoryPause    = time.Millisecond
	maxMemoryPause = 32 * time.Millisecond
)

// wait is Poller.Wait, which it calls again, after a pause, while the kernel has no memory to wait with.
func (b *Backend) wait(timeout time.Duration) ([]Event, bool, error) {
	timeout = min(timeout, maxWait)
	b.table.Stats.Syscalls++
	events, more, err := b.poller.Wait(timeout)
	if err == nil {
		return events, more, nil
	}
	pause := memoryPause
	for range memoryTries - 1 {
		if !lacksMemory(err) {
			return events, more, err
		}
		time.Sleep(pause)
		pause = min(2*pause, maxMemoryPause)
		b.table.Stats.Syscalls++
		events, more, err = b.poller.Wait(timeout)
	}
	if lacksMemory(err) {
		err = fmt.Errorf("%w, %d times in a row", err, memoryTries)
	}
	return events, more, err
}

// lacksMemory reports whether err says that the kernel has no memory for a call at the moment. Darwin's select(2) says
// EAGAIN, the others ENOMEM.
func lacksMemory(err error) bool {
	return errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EAGAIN)
}
