//go:build !linux

package reactor

// threadID is unknownThread: not every Unix has a system call for it.
func threadID() int64 { return unknownThread }
