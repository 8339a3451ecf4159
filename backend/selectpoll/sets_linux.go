//go:build !eyewall_portable

package selectpoll

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	wordBits = int(8 * unsafe.Sizeof(uintptr(0)))
	limit    = 0 // there is none
)

// set is a set of descriptors as the kernel has it: of any length, not the C library's fd_set of 1,024 bits.
type set struct{ words []uintptr }

// reach makes room for a word.
func (s *set) reach(word int) bool {
	if word >= len(s.words) {
		words := make([]uintptr, max(word+1, 2*len(s.words)))
		copy(words, s.words)
		s.words = words
	}
	return true
}

func (s *set) has(fd int) bool   { return s.words[fd/wordBits]>>(fd%wordBits)&1 != 0 }
func (s *set) add(fd int)        { s.words[fd/wordBits] |= 1 << (fd % wordBits) }
func (s *set) remove(fd int)     { s.words[fd/wordBits] &^= 1 << (fd % wordBits) }
func (s *set) word(i int) uint64 { return uint64(s.words[i]) }

// copy takes over n words of from, and returns how many there are up to the last that is not empty.
func (s *set) copy(from *set, n int) int {
	used := 0
	to := s.words[:n]
	for i, w := range from.words[:n] {
		to[i] = w
		if w != 0 {
			used = i + 1
		}
	}
	return used
}

func (s *set) pointer() uintptr {
	if s == nil {
		return 0
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(s.words)))
}

// clock is what a timeout is given to the kernel in. It is not on the stack, which may move before the call.
type clock struct{ ts unix.Timespec }

// selectFDs is pselect6(2). Only where it blocks does it tell the scheduler, as a thread that does loses its P.
func (c *clock) selectFDs(n int, r, w, e *set, timeout time.Duration) (int, error) {
	t := uintptr(unsafe.Pointer(&c.ts))
	var got uintptr
	var errno unix.Errno
	switch {
	case timeout == 0:
		c.ts = unix.Timespec{}
		got, _, errno = unix.RawSyscall6(unix.SYS_PSELECT6, uintptr(n), r.pointer(), w.pointer(), e.pointer(), t, 0)
	case timeout < 0:
		got, _, errno = unix.Syscall6(unix.SYS_PSELECT6, uintptr(n), r.pointer(), w.pointer(), e.pointer(), 0, 0)
	default:
		c.ts = unix.NsecToTimespec(int64(timeout))
		got, _, errno = unix.Syscall6(unix.SYS_PSELECT6, uintptr(n), r.pointer(), w.pointer(), e.pointer(), t, 0)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}
