//go:build unix && (!linux || eyewall_portable)

package selectpoll

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// waker is a descriptor that becomes readable when another goroutine says so: a pipe.
type waker struct{ r, w int }

func (w *waker) open() error {
	f := make([]int, 2)
	if err := pipe(f); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	w.r, w.w = f[0], f[1]
	for _, fd := range f {
		if err := unix.SetNonblock(fd, true); err != nil {
			w.close()
			return os.NewSyscallError("fcntl", err)
		}
	}
	return nil
}

func (w *waker) fd() int { return w.r }

func (w *waker) wake() { unix.Write(w.w, []byte{0}) } // a full pipe wakes as well

func (w *waker) drain() {
	var b [64]byte
	unix.Read(w.r, b[:])
}

func (w *waker) close() error {
	unix.Close(w.w)
	return os.NewSyscallError("close", unix.Close(w.r))
}

// pipe opens a pipe that programs started by this one do not inherit.
func pipe(f []int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(f); err != nil {
		return err
	}
	unix.CloseOnExec(f[0])
	unix.CloseOnExec(f[1])
	return nil
}
