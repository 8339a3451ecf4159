//go:build linux && !giouring

package ring

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Name tells the two rings apart in reports.
const Name = "io_uring"

// Offsets for mmap.
const (
	offSQRing = 0
	offSQEs   = 0x10000000
)

// Ring is an io_uring on system calls of our own.
type Ring struct {
	sqes     []SQE
	sqTail   uint32 // ours: entries before it are filled
	sqHead   uint32 // the kernel's, as of the last call: entries before it are taken
	sqMask   uint32
	kSQTail  *uint32
	kSQHead  *uint32
	kSQFlags *uint32

	cqes    []CQE
	cqHead  uint32 // ours: completions before it are read
	cqTail  uint32 // the kernel's, as of the last look
	cqMask  uint32
	kCQHead *uint32
	kCQTail *uint32

	fd         int
	enterFD    uintptr // fd, or its registered index
	enterFlags uint32
	features   uint32
	wait       *waitArg

	maps [][]byte
}

// New makes a ring, disabled until Enable. The error names the call and unwraps to the errno.
func New(c Config) (*Ring, error) {
	p := params{cqEntries: c.Completions, flags: c.Flags | SetupCQSize | SetupDisabled}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(c.Entries), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, failed("io_uring_setup", errno)
	}
	r := &Ring{fd: int(fd), enterFD: fd, features: p.features}
	if err := r.mmap(&p); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Ring) mmap(p *params) error {
	if p.features&FeatSingleMmap == 0 {
		return failed("io_uring_setup (no SINGLE_MMAP)", unix.EOPNOTSUPP)
	}
	size := max(p.sqOff.array+p.sqEntries*4, p.cqOff.cqes+p.cqEntries*uint32(unsafe.Sizeof(CQE{})))
	queues, err := r.mapped(offSQRing, int(size))
	if err != nil {
		return err
	}
	sqes, err := r.mapped(offSQEs, int(p.sqEntries)*int(unsafe.Sizeof(SQE{})))
	if err != nil {
		return err
	}
	page, err := Map(unix.Getpagesize())
	if err != nil {
		return err
	}
	r.maps = append(r.maps, page)

	word := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&queues[off])) }
	r.wait = (*waitArg)(unsafe.Pointer(&page[0]))
	r.sqes = unsafe.Slice((*SQE)(unsafe.Pointer(&sqes[0])), p.sqEntries)
	r.sqMask, r.kSQHead, r.kSQTail, r.kSQFlags = p.sqEntries-1, word(p.sqOff.head), word(p.sqOff.tail), word(p.sqOff.flags)
	r.cqes = unsafe.Slice((*CQE)(unsafe.Pointer(word(p.cqOff.cqes))), p.cqEntries)
	r.cqMask, r.kCQHead, r.kCQTail = p.cqEntries-1, word(p.cqOff.head), word(p.cqOff.tail)
	if p.flags&SetupNoSQArray == 0 {
		for i, array := uint32(0), unsafe.Slice(word(p.sqOff.array), p.sqEntries); i < p.sqEntries; i++ {
			array[i] = i
		}
	}
	return nil
}

func (r *Ring) mapped(offset int64, n int) ([]byte, error) {
	mem, err := unix.Mmap(r.fd, offset, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, failed("mmap of the ring", err.(unix.Errno))
	}
	r.maps = append(r.maps, mem)
	return mem, nil
}

// Entries is the size of the submission queue.
func (r *Ring) Entries() int { return len(r.sqes) }

// SQE gives the next entry, zeroed, to be filled; nil if the queue is full.
func (r *Ring) SQE() *SQE {
	if r.Full() {
		return nil
	}
	e := &r.sqes[r.sqTail&r.sqMask]
	*e = SQE{}
	r.sqTail++
	return e
}

// Full tells whether SQE has no entry to give.
func (r *Ring) Full() bool { return r.sqTail-r.sqHead > r.sqMask }

// Pending is the number of entries that the kernel has not taken.
func (r *Ring) Pending() int { return int(r.sqTail - r.sqHead) }

// Due tells whether the kernel has something to report that takes a call of it.
func (r *Ring) Due() bool { return atomic.LoadUint32(r.kSQFlags)&(sqCQOverflow|sqTaskrun) != 0 }

// flush shows the kernel the filled entries and returns their number.
func (r *Ring) flush() uint32 {
	atomic.StoreUint32(r.kSQTail, r.sqTail)
	return r.sqTail - r.sqHead
}

// taken notes how far the kernel has come, which is right however the call ended.
func (r *Ring) taken() { r.sqHead = atomic.LoadUint32(r.kSQHead) }

// Next reads a completion; nil if there is none. It is good until the next call of Next or Seen.
func (r *Ring) Next() *CQE {
	if r.cqHead == r.cqTail {
		if r.cqTail = atomic.LoadUint32(r.kCQTail); r.cqHead == r.cqTail {
			return nil
		}
	}
	c := &r.cqes[r.cqHead&r.cqMask]
	r.cqHead++
	return c
}

// Seen gives the kernel the places of the completions that were read.
func (r *Ring) Seen() { atomic.StoreUint32(r.kCQHead, r.cqHead) }

// Abandon closes the ring's descriptor, upon which the kernel cancels what is in flight, later than this returns. What
// the requests refer to must stay.
func (r *Ring) Abandon() { unix.Close(r.fd) }

// Close closes the ring, which has nothing in flight.
func (r *Ring) Close() {
	r.Abandon()
	for _, m := range r.maps {
		Unmap(m)
	}
	r.maps = nil
}
