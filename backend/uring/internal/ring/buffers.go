//go:build linux

package ring

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Buffers is a buffer ring: buffers given to the kernel, for it to pick one when there is something to receive.
type Buffers struct {
	ring    *Ring
	group   uint16
	mem     []byte
	entries []bufEntry
	tail    uint16 // ours; the kernel sees it after Publish
}

// bufEntry is struct io_uring_buf. The ring's tail, which the kernel reads, lies in the last field of the first one.
type bufEntry struct {
	addr uint64
	len  uint32
	bid  uint16
	tail uint16
}

// NewBuffers registers a ring for n buffers, a power of two up to 32768. In an incremental one the kernel fills a buffer
// bit by bit and reports each bit; otherwise each receive takes a whole buffer.
func NewBuffers(r *Ring, group uint16, n int, incremental bool) (*Buffers, error) {
	mem, err := Map(max(n*int(unsafe.Sizeof(bufEntry{})), unix.Getpagesize()))
	if err != nil {
		return nil, err
	}
	b := &Buffers{ring: r, group: group, mem: mem, entries: unsafe.Slice((*bufEntry)(unsafe.Pointer(&mem[0])), n)}
	reg := bufReg{addr: address(unsafe.Pointer(&mem[0])), entries: uint32(n), group: group}
	if incremental {
		reg.flags = pbufRingInc
	}
	if _, err := r.register(registerPbufRing, unsafe.Pointer(&reg), 1); err != nil {
		Unmap(mem)
		return nil, err
	}
	return b, nil
}

// Add puts the buffer p with the id bid into the ring, which has room for it, and returns the place it has there. The
// kernel sees it after Publish.
func (b *Buffers) Add(p []byte, bid uint16) (place uint16) {
	place = b.tail
	e := &b.entries[int(place)&(len(b.entries)-1)]
	e.addr, e.len, e.bid = address(unsafe.Pointer(unsafe.SliceData(p))), uint32(len(p)), bid
	b.tail++
	return place
}

// Publish shows the kernel what was added.
func (b *Buffers) Publish() {
	// There is no 16-bit atomic store: the id beside the tail, which only we write, is stored along with it as it is.
	first := &b.entries[0]
	both := [2]uint16{first.bid, b.tail}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&first.bid)), *(*uint32)(unsafe.Pointer(&both)))
}

// Free unregisters the ring of buffers and unmaps it.
func (b *Buffers) Free() {
	reg := bufReg{group: b.group}
	b.ring.register(unregisterPbufRing, unsafe.Pointer(&reg), 1)
	Unmap(b.mem)
}
