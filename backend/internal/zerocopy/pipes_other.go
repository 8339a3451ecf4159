//go:build !linux || eyewall_portable

package zerocopy

import "syscall"

// Pipes would have the pipes of one backend. Only Linux has splice(2).
type Pipes struct{}

// Can tells whether there are pipes on this system.
const Can = false

// Take tells that there are none.
func (*Pipes) Take(int32) (number uint16, n int, ok bool, errno syscall.Errno) { return }

// Lends is false.
func (*Pipes) Lends(uint16) bool { return false }

// The rest is not called without a loan.

func (*Pipes) Left(uint16) int                         { return 0 }
func (*Pipes) Send(uint16, int32) (int, syscall.Errno) { return 0, 0 }
func (*Pipes) Fetch(uint16, []byte) int                { return 0 }
func (*Pipes) Release(uint16)                          {}
func (*Pipes) Close()                                  {}
