//go:build darwin || solaris

package readiness

import "golang.org/x/sys/unix"

// sendFlags has a send not block; see flags_unix.go. x/sys knows of no flag against SIGPIPE here: like package net, we
// leave it to the Go runtime to ignore the signal.
const sendFlags = unix.MSG_DONTWAIT
