//go:build !eyewall_portable

package reactor

// perAccept is how often a backend may allocate for each connection that it accepts.
const perAccept = 0

// manyDials is how many connections a test may begin at a time.
const manyDials = 1200

// longName is the bytes of the longest abstract name behind its '@'.
const longName = 107
