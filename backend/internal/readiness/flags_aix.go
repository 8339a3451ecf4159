package readiness

import "golang.org/x/sys/unix"

// sendFlags has a send not block; see flags_unix.go. Of SIGPIPE flags_nosignal.go tells.
const sendFlags = unix.MSG_NONBLOCK
