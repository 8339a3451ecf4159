package sock

import (
	"os"

	"golang.org/x/sys/unix"
)

// ReusePort fails, since this system has nothing of the kind that x/sys knows.
func ReusePort(int) error { return os.NewSyscallError("setsockopt(SO_REUSEPORT)", unix.ENOPROTOOPT) }
