//go:build !eyewall_portable

package readiness

import (
	"syscall"
	"unsafe"

	"github.com/eyewall/eyewall/backend/internal/zerocopy"
	"golang.org/x/sys/unix"
)

// Calls on sockets, which are non-blocking, return at once: they need not tell the scheduler that they may not.
// Nothing here allocates, as their like in x/sys does for an address that nobody asked for.

const recvReads = false // recvFD is recv(2)

func recvFD(fd int32, p []byte) (int, syscall.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

func sendFD(fd int32, p []byte) (int, syscall.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), sendFlags, 0, 0)
	return int(n), e
}

func acceptFD(fd int32) (int, syscall.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(n), e
}

// connector connects sockets. It needs nothing for that here.
type connector struct{}

func (*connector) connect(fd int32, addr []byte) syscall.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(addr))), uintptr(len(addr)))
	return e
}

func (*Backend) sendFileFD(fd, file int32, offset int64, n int, end *int64) (int, syscall.Errno) {
	return zerocopy.SendFile(fd, file, offset, n, end)
}

// gather sends several pieces in one call.
type gather struct {
	msg unix.Msghdr
	vec []unix.Iovec
}

const maxVec = 1024 // IOV_MAX

// send sends bufs but for the first bytes, which went before: how many went now, and is there more?
func (g *gather) send(fd int32, bufs [][]byte, skip int) (n int, more bool, e syscall.Errno) {
	if g.vec == nil {
		g.vec = make([]unix.Iovec, 0, maxVec)
	}
	total := 0
	for _, p := range bufs {
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		if len(g.vec) == maxVec {
			more = true
			break
		}
		p = p[skip:]
		skip = 0
		total += len(p)
		v := unix.Iovec{Base: unsafe.SliceData(p)}
		v.SetLen(len(p))
		g.vec = append(g.vec, v)
	}
	g.msg.Iov = unsafe.SliceData(g.vec)
	g.msg.SetIovlen(len(g.vec))
	r, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&g.msg)), sendFlags)
	clear(g.vec) // the memory is the caller's
	g.vec = g.vec[:0]
	return int(r), more || int(r) < total, e
}
