//go:build linux

package uring

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// waker ends a Poll that waits, from any goroutine. Its state says whether that takes a system call.
type waker struct {
	state atomic.Uint32
	mu    sync.Mutex // held while fd is written or closed: a number that was closed may be another's
	fd    int
}

const (
	awake    = iota // no Poll waits, and there was no call since the last one returned
	sleeping        // a Poll waits, or is about to
	woken           // there was a call, for which a Poll has to return
)

func (w *waker) open() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return &ring.Error{Call: "eventfd", Errno: err.(unix.Errno)}
	}
	w.fd = fd
	return nil
}

func (w *waker) wake() {
	if w.state.Swap(woken) != sleeping {
		return // it will be seen before the next wait
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd >= 0 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(w.fd, one[:])
	}
}

// called tells whether there was a call that take has not told of.
func (w *waker) called() bool { return w.state.Load() == woken }

// sleep is called before a wait; false if it must not be.
func (w *waker) sleep() bool { return w.state.CompareAndSwap(awake, sleeping) }

// take ends a wait, if there was one, and tells whether there was a call.
func (w *waker) take() bool {
	return w.state.Load() != awake && w.state.Swap(awake) == woken
}

func (w *waker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
}

// armWake has the ring tell of every write to the eventfd. Nobody reads that: its count is of no use, and a write is a
// change all the same.
func (p *proactor) armWake() {
	e := p.ring.SQE()
	if e == nil {
		p.queue.push(tagOwn)
		return
	}
	e.PrepPoll(int32(p.waker.fd), unix.POLLIN, true)
	e.UserData = tagOwn
	p.flying++
}

// completeOwn takes a completion of the backend's own requests.
func (p *proactor) completeOwn(data uint64, res int32, flags uint32) {
	switch id := data &^ tagMask; {
	case id == ownMark:
		p.flying--
		p.marked()
	case id != ownWake:
		p.provided(uint16(id-1), res)
	case flags&ring.CQEMore == 0:
		p.flying--
		if p.state == started {
			p.armWake()
		}
	}
}
