//go:build !linux

package reactor

// threadID is 0: it is not asked for here.
func threadID() int { return 0 }
