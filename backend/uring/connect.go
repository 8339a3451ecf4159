//go:build linux

package uring

import (
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
	default:
		p.failed(o, res)
	}
}

// address copies o's address to the arena; nil if there is no room.
func (p *proactor) address(o *ops.Op) unsafe.Pointer {
	mem := p.arena.Alloc(unix.SizeofSockaddrAny)
	if mem != nil {
		copy(unsafe.Slice((*byte)(mem), unix.SizeofSockaddrAny), o.Extra.Addr) // the kernel refuses longer ones
	}
	return mem
}
