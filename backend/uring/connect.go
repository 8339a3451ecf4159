//go:build linux

package uring

import (
	"encoding/binary"
	"unsafe"

	"github.com/eyewall/eyewall/backend/internal/ops"
	"golang.org/x/sys/unix"
)

// connected handles the result of a Connect's request.
func (p *proactor) connected(o *ops.Op, res int32) {
	switch errno := unix.Errno(-res); {
	case res >= 0 || errno == unix.EISCONN && o.State&again != 0:
		p.table.Finish(o, 0, nil, nil, 0)
	case errno == unix.EINPROGRESS || errno == unix.EALREADY && o.State&again != 0:
		o.State |= again
		p.await(o)
	case errno == unix.EAGAIN: // a socket that is not connected is always ready
		p.rest(o)
	default:
		p.failed(o, res)
	}
}

// isLocal reports whether o connects a Unix socket. Those connect at once or not at all, so that there is nothing for a
// request to wait for: if the listener's queue is full, the kernel would try again and again without a pause.
func isLocal(o *ops.Op) bool {
	a := o.Extra.Addr
	return len(a) >= 2 && binary.NativeEndian.Uint16(a) == unix.AF_UNIX
}

// connectLocal connects a Unix socket.
func (p *proactor) connectLocal(o *ops.Op) {
	a := o.Extra.Addr
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(o.FD.Num), uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(len(a)))
	p.connected(o, -int32(errno))
}

// address copies o's address to the arena; nil if there is no room.
func (p *proactor) address(o *ops.Op) unsafe.Pointer {
	mem := p.arena.Alloc(unix.SizeofSockaddrAny)
	if mem != nil {
		copy(unsafe.Slice((*byte)(mem), unix.SizeofSockaddrAny), o.Extra.Addr) // the kernel refuses longer ones
	}
	return mem
}
