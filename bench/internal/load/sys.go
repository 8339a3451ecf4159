//go:build linux

package load

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// System calls go through RawSyscall6, those that block too: this process collects no garbage, does nothing else on
// these threads, and has a processor to spare for the goroutine that reads commands.

const edges = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

var base = time.Now()

// nanotime is monotonic. It is no system call, unlike unix.ClockGettime.
func nanotime() int64 { return int64(time.Since(base)) }

func recv(fd int32, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

func send(fd int32, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// noPwait2 is set once the kernel turned out to have no epoll_pwait2 (Linux 5.11).
var noPwait2 atomic.Bool

// epollWait waits for at most d.
func epollWait(ep int, list []unix.EpollEvent, d time.Duration) int {
	d = max(d, 0)
	if d > 0 && !noPwait2.Load() {
		ts := unix.NsecToTimespec(int64(d))
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(unsafe.Pointer(&list[0])),
			uintptr(len(list)), uintptr(unsafe.Pointer(&ts)), 0, 0)
		if e == 0 {
			return int(n)
		}
		if e == unix.ENOSYS {
			noPwait2.Store(true)
		}
		return 0
	}
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&list[0])),
		uintptr(len(list)), uintptr(d/time.Millisecond), 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// threadCPU is what the calling thread has used, in ns.
func threadCPU() int64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return t.Nano()
}
