//go:build darwin || dragonfly || freebsd || netbsd || openbsd || (linux && eyewall_portable)

package backendtest

import "golang.org/x/sys/unix"

// manyPairs is how many connections a test may have open: select(2) can wait for descriptors below FD_SETSIZE only, and
// a test has a few others.
const manyPairs = min(700, (unix.FD_SETSIZE-56)/2)

// acceptAllocates is how often an Accept may allocate: accept(2) is asked through x/sys, which always makes the address
// of the peer, in two pieces.
const acceptAllocates = 2
