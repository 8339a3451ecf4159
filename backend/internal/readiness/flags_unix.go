//go:build unix && !darwin && !solaris && !aix

package readiness

import "golang.org/x/sys/unix"

// sendFlags has a send neither raise SIGPIPE nor block. The descriptor's own flag is not enough for the latter: whoever
// has a duplicate, in another process, too, can take it away.
const sendFlags = unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
