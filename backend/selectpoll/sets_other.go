//go:build unix && (!linux || eyewall_portable)

package selectpoll

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	wordBits = unix.NFDBITS
	limit    = unix.FD_SETSIZE
)

// set is a set of descriptors of the C library's length.
type set struct{ fds unix.FdSet }

// reach tells whether there is such a word.
func (s *set) reach(word int) bool { return word < len(s.fds.Bits) }

func (s *set) has(fd int) bool   { return s.fds.IsSet(fd) }
func (s *set) add(fd int)        { s.fds.Set(fd) }
func (s *set) remove(fd int)     { s.fds.Clear(fd) }
func (s *set) word(i int) uint64 { return uint64(s.fds.Bits[i]) & (1<<wordBits - 1) }

// copy takes over n words of from, and returns how many there are up to the last that is not empty.
func (s *set) copy(from *set, n int) int {
	used := 0
	for i, w := range from.fds.Bits[:n] {
		s.fds.Bits[i] = w
		if w != 0 {
			used = i + 1
		}
	}
	return used
}

func (s *set) pointer() *unix.FdSet {
	if s == nil {
		return nil
	}
	return &s.fds
}

// clock is what a timeout is given to the kernel in.
type clock struct{ tv unix.Timeval }

// selectFDs is select(2).
func (c *clock) selectFDs(n int, r, w, e *set, timeout time.Duration) (int, error) {
	t := &c.tv
	if timeout < 0 {
		t = nil
	} else {
		c.tv = unix.NsecToTimeval(int64(timeout + time.Microsecond - 1))
	}
	return unix.Select(n, r.pointer(), w.pointer(), e.pointer(), t)
}
