package reactor

import "golang.org/x/sys/unix"

// threadID is the caller's thread. See gettid(2).
func threadID() int64 { return int64(unix.Gettid()) }
