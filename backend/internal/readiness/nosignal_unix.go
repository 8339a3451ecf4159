//go:build unix && !darwin && !solaris && !aix

package readiness

import "golang.org/x/sys/unix"

const noSignal = unix.MSG_NOSIGNAL
