//go:build !race

package backendtest

// raceEnabled tells whether the race detector is in: it allocates, and is slow.
const raceEnabled = false
