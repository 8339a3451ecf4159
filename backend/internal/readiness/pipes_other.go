//go:build unix && (!linux || eyewall_portable)

package readiness

import "syscall"

// canPipe reports whether there are pipes in which bytes are lent. Only Linux has splice(2).
const canPipe = false

// pipes has none.
type pipes struct{}

// Take reports that there is none to be had.
func (*pipes) Take(int32) (number uint32, n int, ok bool, errno syscall.Errno) { return }

// Lends is false.
func (*pipes) Lends(uint32) bool { return false }

// The rest is not called without a loan, but for Close.

func (*pipes) Left(uint32) int                         { return 0 }
func (*pipes) Send(uint32, int32) (int, syscall.Errno) { return 0, 0 }
func (*pipes) Fetch(uint32, []byte) int                { return 0 }
func (*pipes) Release(uint32)                          {}
func (*pipes) Close()                                  {}
