//go:build !race

package testenv

// Race tells whether the race detector is in: it allocates, and is slow.
const Race = false
