//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package backendtest

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Here flags are set after the descriptor is there: not all of these systems have SOCK_NONBLOCK, accept4 and pipe2.

func newSocket(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		err = prepare(fd)
	}
	return fd, err
}

func socketPair() ([2]int, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = prepare(p[0], p[1])
	}
	return p, err
}

func acceptOne(fd int) (int, error) {
	nfd, _, err := unix.Accept(fd)
	if err == nil {
		err = prepare(nfd)
	}
	return nfd, err
}

func pipe() ([2]int, error) {
	var p [2]int
	err := unix.Pipe(p[:])
	if err == nil {
		err = prepare(p[0], p[1])
	}
	return p, err
}

func prepare(fds ...int) error {
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
	}
	return nil
}

func rawInet4(port int) []byte {
	sa := unix.RawSockaddrInet4{
		Len: unix.SizeofSockaddrInet4, Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}, Port: networkOrder(port),
	}
	return raw(unsafe.Pointer(&sa), unix.SizeofSockaddrInet4)
}

func rawInet6(port int) []byte {
	sa := unix.RawSockaddrInet6{
		Len: unix.SizeofSockaddrInet6, Family: unix.AF_INET6, Addr: [16]byte{15: 1}, Port: networkOrder(port),
	}
	return raw(unsafe.Pointer(&sa), unix.SizeofSockaddrInet6)
}

func rawUnix(path string) []byte {
	sa := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	for i := range len(path) {
		sa.Path[i] = int8(path[i])
	}
	sa.Len = uint8(int(unsafe.Offsetof(sa.Path)) + len(path) + 1)
	return raw(unsafe.Pointer(&sa), int(sa.Len))
}

func descriptors() map[int]string { return probeDescriptors() }

// threadID would name the calling thread; no call for that is common to these systems.
func threadID() int { return 0 }

// sent waits for a while in which the peers of fds get what was written to fds.
func (r *rig) sent(fds ...int) {
	if r.net != unixNet {
		time.Sleep(moment)
	}
}
