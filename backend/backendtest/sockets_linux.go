package backendtest

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newSocket is socket(2), non-blocking and close-on-exec.
func newSocket(family, kind int) (int, error) {
	return unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// socketPair is socketpair(2) of unix streams, non-blocking and close-on-exec.
func socketPair() ([2]int, error) {
	return unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// acceptOne is accept(2), non-blocking and close-on-exec.
func acceptOne(fd int) (int, error) {
	nfd, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return nfd, err
}

func pipe() ([2]int, error) {
	var p [2]int
	err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC)
	return p, err
}

func rawInet4(port int) []byte {
	sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}, Port: networkOrder(port)}
	return raw(unsafe.Pointer(&sa), unix.SizeofSockaddrInet4)
}

func rawInet6(port int) []byte {
	sa := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: [16]byte{15: 1}, Port: networkOrder(port)}
	return raw(unsafe.Pointer(&sa), unix.SizeofSockaddrInet6)
}

func rawUnix(path string) []byte {
	sa := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	for i := range len(path) {
		sa.Path[i] = int8(path[i])
	}
	return raw(unsafe.Pointer(&sa), int(unsafe.Offsetof(sa.Path))+len(path)+1)
}

// descriptors lists what is open in this process, each with what it is.
func descriptors() map[int]string {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return probeDescriptors()
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	open := make(map[int]string, len(names))
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd != int(dir.Fd()) {
			if what, err := os.Readlink("/proc/self/fd/" + name); err == nil { // else it is closed by now
				open[fd] = what
			}
		}
	}
	return open
}

// threadID names the calling thread.
func threadID() int { return unix.Gettid() }

// sent waits until the peers of fds have all that was written to fds, be it unread or taken by a backend.
func (r *rig) sent(fds ...int) {
	r.Helper()
	if r.net == unixNet {
		return // a write puts it there
	}
	for _, fd := range fds {
		for {
			n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
			r.ok("SIOCOUTQ", err)
			if n == 0 {
				break
			}
			r.breathe("bytes to reach the peer")
		}
	}
}
