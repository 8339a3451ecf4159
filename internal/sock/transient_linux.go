package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ofConnection is the errors of accept(2) that are of the connection rather than the listener: the manual page lists
// those that are pending on the new socket, for which it says to try again; EPERM, by which a firewall refuses it; and a
// few that some kernels return.
var ofConnection = []syscall.Errno{
	unix.ECONNABORTED, unix.EPERM,
	unix.ENETDOWN, unix.EPROTO, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH,
	unix.ENOSR, unix.ESOCKTNOSUPPORT, unix.EPROTONOSUPPORT, unix.ETIMEDOUT,
}
