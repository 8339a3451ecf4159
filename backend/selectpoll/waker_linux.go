//go:build !eyewall_portable

package selectpoll

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// waker is a descriptor that becomes readable when another goroutine says so.
type waker struct{ eventfd int }

func (w *waker) open() (err error) {
	w.eventfd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return os.NewSyscallError("eventfd", err)
}

func (w *waker) fd() int { return w.eventfd }

func (w *waker) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(w.eventfd, one[:])
}

func (w *waker) drain() {
	var count [8]byte
	unix.Read(w.eventfd, count[:])
}

func (w *waker) close() error { return os.NewSyscallError("close", unix.Close(w.eventfd)) }
