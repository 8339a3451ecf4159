//go:build !linux || eyewall_portable

package reactor

import "golang.org/x/sys/unix"

// perAccept is how often a backend may allocate for each connection that it accepts: x/sys always makes the address of
// the peer, in two pieces.
const perAccept = 2

// manyDials is how many connections a test may begin at a time: select(2) can wait for descriptors below FD_SETSIZE only,
// and a test has a few others.
const manyDials = min(1200, unix.FD_SETSIZE-56)

// longName is the bytes of the longest abstract name behind its '@' to which x/sys connects.
const longName = 106
