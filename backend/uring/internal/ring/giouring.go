//go:build linux && giouring

package ring

import (
	"errors"
	"reflect"
	"sync/atomic"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// Name tells the two rings apart in reports.
const Name = "io_uring/giouring"

// Ring is giouring's ring: its set-up, its queues. Calls of the kernel are ours, since giouring tells Go's scheduler of
// each, and it gives up where one is interrupted.
//
// Where giouring's own methods are wrong for the use that is made of them here, a comment says how that is avoided.
type Ring struct {
	g *giouring.Ring

	kSQHead, kSQTail, kSQFlags *uint32 // giouring keeps them to itself

	unseen bool // the completion that Next returned last is still the kernel's to keep

	fd         int
	enterFD    uintptr // fd, or its registered index
	enterFlags uint32
	features   uint32
	wait       *waitArg

	page []byte
}

// New makes a ring, disabled until Enable. The error names the call and unwraps to the errno.
func New(c Config) (*Ring, error) {
	p := params{cqEntries: c.Completions, flags: c.Flags | SetupCQSize | SetupDisabled}
	if p.flags&SetupNoSQArray != 0 {
		return nil, failed("io_uring_setup (giouring fills the array)", unix.EINVAL)
	}
	page, err := Map(unix.Getpagesize())
	if err != nil {
		return nil, err
	}
	g := giouring.NewRing()
	// The fields of its Params are not exported. They are laid out as the kernel has them.
	if err := g.QueueInitParams(c.Entries, (*giouring.Params)(unsafe.Pointer(&p))); err != nil {
		Unmap(page)
		var errno unix.Errno
		if errors.As(err, &errno) {
			return nil, failed("io_uring_setup", errno)
		}
		return nil, err
	}
	sq := reflect.ValueOf(g).Elem().FieldByName("sqRing").Elem()
	word := func(name string) *uint32 { return (*uint32)(sq.FieldByName(name).UnsafePointer()) }
	return &Ring{
		g:       g,
		kSQHead: word("head"), kSQTail: word("tail"), kSQFlags: word("flags"),
		fd: g.RingFd(), enterFD: uintptr(g.RingFd()),
		features: p.features,
		wait:     (*waitArg)(unsafe.Pointer(&page[0])),
		page:     page,
	}, nil
}

// Entries is the size of the submission queue.
func (r *Ring) Entries() int { return int(r.g.SQReady() + r.g.SQSpaceLeft()) }

// SQE gives the next entry, zeroed, to be filled; nil if the queue is full. giouring's own preparations would leave some
// fields as an earlier use left them.
func (r *Ring) SQE() *SQE {
	e := (*SQE)(unsafe.Pointer(r.g.GetSQE()))
	if e != nil {
		*e = SQE{}
	}
	return e
}

// Full tells whether SQE has no entry to give.
func (r *Ring) Full() bool { return r.g.SQSpaceLeft() == 0 }

// Pending is the number of entries that the kernel has not taken.
func (r *Ring) Pending() int { return int(r.g.SQReady()) }

// Due tells whether the kernel has something to report that takes a call of it.
func (r *Ring) Due() bool { return atomic.LoadUint32(r.kSQFlags)&(sqCQOverflow|sqTaskrun) != 0 }

// flush shows the kernel the filled entries and returns their number.
func (r *Ring) flush() uint32 {
	n := r.g.SQReady()
	atomic.StoreUint32(r.kSQTail, atomic.LoadUint32(r.kSQHead)+n)
	return n
}

// taken notes how far the kernel has come: giouring looks that up each time.
func (r *Ring) taken() {}

// Next reads a completion; nil if there is none. It is good until the next call of Next or Seen.
func (r *Ring) Next() *CQE {
	r.Seen()
	if r.g.CQReady() == 0 {
		return nil // PeekCQE would call the kernel
	}
	c, err := r.g.PeekCQE()
	if err != nil {
		return nil
	}
	r.unseen = true
	return (*CQE)(unsafe.Pointer(c))
}

// Seen gives the kernel the places of the completions that were read.
func (r *Ring) Seen() {
	if r.unseen {
		r.unseen = false
		r.g.CQAdvance(1)
	}
}

// Abandon closes the ring's descriptor, upon which the kernel cancels what is in flight, later than this returns. What
// the requests refer to must stay.
func (r *Ring) Abandon() { unix.Close(r.fd) }

// Close closes the ring, which has nothing in flight.
func (r *Ring) Close() {
	r.g.QueueExit()
	Unmap(r.page)
}
