package event_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/reactor"
)

// Ticks is an event of our own: it waits until a timerfd has expired. See timerfd_create(2).
type Ticks struct {
	FD int    // a timerfd, non-blocking
	N  uint64 // how often it has expired since the last wait

	buf [8]byte
}

// Reset makes the event an event.Resetter.
func (e *Ticks) Reset() { e.N = 0 }

// Register starts what the event waits for: here a read from the timerfd.
func (e *Ticks) Register(r event.Reactor) error {
	r.Submit(backend.Op{Kind: backend.Read, FD: e.FD, Buf: e.buf[:]})
	return nil
}

// Resume is called when the read is complete, and with that the wait is over.
func (e *Ticks) Resume(_ event.Reactor, c *backend.Completion) (over bool, err error) {
	if c.Err != nil {
		return true, c.Err
	}
	e.N = binary.NativeEndian.Uint64(e.buf[:])
	return true, nil
}

// A task waits for whatever has a descriptor: here for a timer of the kernel's.
func ExampleEvent() {
	loop, err := reactor.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	loop.Go(func(t reactor.Task) error {
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
		if err != nil {
			return err
		}
		defer t.Await(&event.Close{FD: fd}) // a descriptor that was in an event is closed by one

		every := unix.NsecToTimespec(int64(time.Millisecond))
		if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Value: every, Interval: every}, nil); err != nil {
			return err
		}
		ticks := &Ticks{FD: fd}
		for seen := uint64(0); seen < 3; seen += ticks.N {
			if err := t.Await(ticks); err != nil { // other tasks run meanwhile
				return err
			}
		}
		fmt.Println("three ticks")
		return nil
	})
	if err := loop.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: three ticks
}
