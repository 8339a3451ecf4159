package sock

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTransient(t *testing.T) {
	lists := map[bool][]syscall.Errno{
		true:  {unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED, unix.EPROTO},
		false: {unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EFAULT, unix.EACCES},
	}
	// Linux has a new socket's errors come out of accept, and a firewall's refusal.
	ofLinux := []syscall.Errno{unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH, unix.EPERM}
	linux := runtime.GOOS == "linux"
	lists[linux] = append(lists[linux], ofLinux...)
	for want, list := range lists {
		for _, errno := range list {
			wrapped := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", errno)}
			for _, err := range []error{errno, wrapped, fmt.Errorf("a server: %w", wrapped)} {
				if Transient(err) != want {
					t.Errorf("Transient(%v) is not %v", err, want)
				}
			}
		}
	}
	for _, err := range []error{nil, io.EOF, errors.New("other"), net.ErrClosed} {
		if Transient(err) {
			t.Errorf("Transient(%v) is true", err)
		}
	}
}

// What accept says of a socket that does not listen, or is none, stays.
func TestListenerErrorsStay(t *testing.T) {
	fd, err := NewUnix()
	must(t, "NewUnix", err)
	if _, err := Accept(fd); err == nil || Transient(err) {
		t.Errorf("a socket that does not listen: %v", err)
	}
	unix.Close(fd)
	if _, err := Accept(-1); err == nil || Transient(err) {
		t.Errorf("no descriptor: %v", err)
	}
}
