//go:build linux

package epoll

import (
	"encoding/binary"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/eyewall/eyewall/backend/internal/readiness"
	"golang.org/x/sys/unix"
)

// maxEvents is how many descriptors one turn takes: what they bring is still in cache when it is used. It is also less than
// what the kernel frees of the memory that they came in before it interrupts the processor whose that is, the sender's
// on a loopback: half of net.core.skb_defer_max, which is 64.
const maxEvents = 24

// poller is a readiness.Poller.
type poller struct {
	ep      int
	eventfd int
	raw     [maxEvents]unix.EpollEvent
	events  [maxEvents]readiness.Event
	coarse  bool // there is no epoll_pwait2
	timeout [2]int64
}

const (
	interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET&(1<<32-1)

	readable = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLHUP | unix.EPOLLERR
	writable = unix.EPOLLOUT | unix.EPOLLHUP | unix.EPOLLERR
	ended    = unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLHUP | unix.EPOLLERR
)

func newPoller() (*poller, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &poller{ep: ep, eventfd: -1}
	p.eventfd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		p.Close()
		return nil, os.NewSyscallError("eventfd", err)
	}
	// Edge-triggered, it need never be read: each write is an event.
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET&(1<<32-1), Fd: int32(p.eventfd)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, p.eventfd, &e); err != nil {
		p.Close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return p, nil
}

// Watch registers fd, once and for all.
func (p *poller) Watch(fd int, _ readiness.Ready) (readiness.Ready, error) {
	e := unix.EpollEvent{Events: interest, Fd: int32(fd)}
	err := unix.EpollCtl(p.ep, unix.EPOLL_CTL_ADD, fd, &e)
	if err == unix.EEXIST { // it was closed and came back behind our back, by way of a duplicate
		err = unix.EpollCtl(p.ep, unix.EPOLL_CTL_MOD, fd, &e)
	}
	if err != nil {
		return 0, err
	}
	return readiness.Readable | readiness.Writable | readiness.Urgent, nil
}

// Forget takes the registration back: closing alone would leave it to a duplicate of fd.
func (p *poller) Forget(fd int) {
	unix.EpollCtl(p.ep, unix.EPOLL_CTL_DEL, fd, nil)
}

// Wait is epoll_wait. Only where it blocks does it tell the scheduler, as a thread that does loses its P.
func (p *poller) Wait(timeout time.Duration) ([]readiness.Event, bool, error) {
	n, e := p.wait(timeout)
	if e != 0 {
		if e == unix.EINTR {
			return nil, true, nil
		}
		return nil, false, os.NewSyscallError("epoll_wait", e)
	}
	events := p.events[:0]
	for i := range p.raw[:n] {
		r := &p.raw[i]
		if int(r.Fd) == p.eventfd {
			continue
		}
		var is readiness.Ready
		if r.Events&readable != 0 {
			is |= readiness.Readable
		}
		if r.Events&writable != 0 {
			is |= readiness.Writable
		}
		if r.Events&ended != 0 {
			is |= readiness.Ended
		}
		events = append(events, readiness.Event{FD: r.Fd, Ready: is})
	}
	return events, n == maxEvents, nil
}

func (p *poller) wait(timeout time.Duration) (int, syscall.Errno) {
	ep, raw := uintptr(p.ep), uintptr(unsafe.Pointer(&p.raw))
	if timeout == 0 {
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, ep, raw, maxEvents, 0, 0, 0)
		return int(n), e
	}
	if timeout < 0 {
		n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, ep, raw, maxEvents, ^uintptr(0), 0, 0)
		return int(n), e
	}
	if !p.coarse {
		p.timeout = [2]int64{int64(timeout / time.Second), int64(timeout % time.Second)}
		n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, ep, raw, maxEvents, uintptr(unsafe.Pointer(&p.timeout)), 0, 0)
		if e != unix.ENOSYS && e != unix.EPERM {
			return int(n), e
		}
		p.coarse = true // a kernel before 5.11, or a filter that does not know the call
	}
	ms := (timeout + time.Millisecond - 1) / time.Millisecond
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, ep, raw, maxEvents, uintptr(ms), 0, 0)
	return int(n), e
}

// Interrupt makes Wait return.
func (p *poller) Interrupt() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(p.eventfd, one[:])
}

// Close closes what the poller has.
func (p *poller) Close() error {
	if p.eventfd >= 0 {
		unix.Close(p.eventfd)
	}
	return os.NewSyscallError("close", unix.Close(p.ep))
}
