//go:build linux

package uring

import (
	"io"
	"unsafe"

	"github.com/eyewall/eyewall/backend/internal/ops"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// sent handles the result of a Send's or Write's request: those go on until everything is out.
func (p *proactor) sent(o *ops.Op, res int32) {
	if res < 0 {
		p.failed(o, res)
		return
	}
	o.Extra.Moved += int(res)
	o.State &^= roused
	switch {
	case o.Extra.Moved >= size(o):
		p.table.Finish(o, o.Extra.Moved, nil, nil, 0)
	case res == 0:
		p.end(o, io.ErrShortWrite) // it would go on for ever
	default:
		p.resume(o)
	}
}

// size is the number of bytes that o is to send or write.
func size(o *ops.Op) int {
	if o.Extra.Bufs == nil {
		return len(o.Extra.Buf)
	}
	n := 0
	for _, b := range o.Extra.Bufs {
		n += len(b)
	}
	return n
}

// read handles the result of a Read's request.
func (p *proactor) read(o *ops.Op, res int32) {
	switch {
	case res > 0:
		p.table.Finish(o, int(res), nil, nil, 0)
	case res == 0:
		p.end(o, io.EOF)
	default:
		p.failed(o, res)
	}
}

// maxPieces bounds the pieces that one request gathers. The rest follows with the next one.
const maxPieces = 256

// gather lays out in the arena what is left of o's Bufs, up to maxPieces of them; nil if there is no room.
func (p *proactor) gather(o *ops.Op) unsafe.Pointer {
	bufs, skip := o.Extra.Bufs, o.Extra.Moved
	for len(bufs) > 0 && skip >= len(bufs[0]) {
		skip -= len(bufs[0])
		bufs = bufs[1:]
	}
	n := min(len(bufs), maxPieces)
	head := unsafe.Sizeof(ring.Msghdr{})
	mem := p.arena.Alloc(int(head + uintptr(n)*unsafe.Sizeof(ring.Iovec{})))
	if mem == nil {
		return nil
	}
	pieces := unsafe.Slice((*ring.Iovec)(unsafe.Add(mem, head)), n)
	for i, b := range bufs[:n] {
		b, skip = b[skip:], 0
		pieces[i] = ring.Iovec{Base: uintptr(unsafe.Pointer(unsafe.SliceData(b))), Len: uintptr(len(b))}
	}
	*(*ring.Msghdr)(mem) = ring.Msghdr{Iov: uintptr(unsafe.Add(mem, head)), Iovlen: uintptr(n)}
	return mem
}

// polled handles the result of a Poll's request.
func (p *proactor) polled(o *ops.Op, res int32) {
	if o.Extra.Moved == 0 && res > 0 {
		// Unlike poll(2), the kernel tells of a peer that has shut down its half also where nobody asked.
		o.Extra.Moved = int(res) & (int(uint16(o.Events)) | unix.POLLERR | unix.POLLHUP)
	}
	switch {
	case o.State&flying != 0:
		if o.Extra.Moved != 0 && o.State&ending == 0 {
			o.State |= ending
			p.cancel(o)
		}
	case o.Extra.Moved != 0:
		p.table.Finish(o, o.Extra.Moved, nil, nil, 0)
	case res < 0:
		p.failed(o, res)
	default:
		// It would be told the same at once, for ever. From here on it asks for changes.
		o.State |= edge
		p.resume(o)
	}
}
