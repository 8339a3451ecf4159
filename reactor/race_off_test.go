//go:build !race

package reactor

// raceEnabled tells whether the race detector is in: it allocates, and is slow.
const raceEnabled = false
