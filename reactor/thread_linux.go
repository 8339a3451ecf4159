package reactor

import "golang.org/x/sys/unix"

// threadID is the caller's thread. See gettid(2).
func threadID() int { return unix.Gettid() }
