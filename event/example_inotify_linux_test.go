package event_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/reactor"
)

// Changes is an event that waits for one of two things: changes that inotify tells, or the end of a time. See
// inotify(7).
type Changes struct {
	FD      int           // an inotify instance, non-blocking
	Timeout time.Duration // 0: none

	Names []string // of the files that have changed

	buf [4096]byte
}

// Reset makes the event an event.Resetter: names of an earlier wait are not taken for those of the next.
func (e *Changes) Reset() { e.Names = nil }

// Register starts both.
func (e *Changes) Register(r event.Reactor) error {
	r.Submit(backend.Op{Kind: backend.Read, FD: e.FD, Buf: e.buf[:]})
	if e.Timeout > 0 {
		r.Timer(r.Now() + e.Timeout)
	}
	return nil
}

// Resume is called for what comes first, which ends the wait, and then for the read that the timer has cut short: it may
// bring something all the same.
func (e *Changes) Resume(_ event.Reactor, c *backend.Completion) (over bool, err error) {
	if c.Token == 0 {
		return true, c.Err // the timer's, backend.ErrDeadline
	}
	for rest := e.buf[:c.N]; len(rest) >= unix.SizeofInotifyEvent; {
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(rest[12:]))
		name, _, _ := bytes.Cut(rest[unix.SizeofInotifyEvent:size], []byte{0})
		e.Names = append(e.Names, string(name))
		rest = rest[size:]
	}
	return true, c.Err
}

// An event may wait for several things at once. This one has a timeout of its own, too.
func ExampleEvent_timeout() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	loop, err := reactor.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	loop.Go(func(t reactor.Task) error {
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		if err != nil {
			return err
		}
		defer t.Await(&event.Close{FD: fd})
		if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE); err != nil {
			return err
		}
		t.Go(func(t reactor.Task) error {
			t.Sleep(time.Millisecond)
			return os.WriteFile(filepath.Join(dir, "greeting"), []byte("hello"), 0o600)
		})
		changes := &Changes{FD: fd}
		if err := t.Await(changes); err != nil {
			return err
		}
		fmt.Println("written:", changes.Names)

		changes.Timeout = 5 * time.Millisecond
		if err := t.Await(changes); errors.Is(err, backend.ErrDeadline) {
			fmt.Println("then nothing")
		}
		return nil
	})
	if err := loop.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// written: [greeting]
	// then nothing
}
