//go:build linux

package uring

import (
	"errors"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
)

// bufferGroup is the id of the one group of buffers that a ring has.
const bufferGroup = 0

// pool is the provided buffers: memory that the kernel receives into and that is lent out.
//
// A buffer is free, given to the kernel, or lent. Incremental buffers are given and lent at once: the kernel packs what
// it receives, for whichever connection, into one buffer until that is full, and each piece is lent by itself. Such a
// buffer is free when it is full and its last borrower has gone.
//
// Only some buffers are given at a time, those that became free last: the fewer are in use, the better they stay in the
// processor's caches, and memory that was never used takes no space.
type pool struct {
	mem         []byte
	size, count int
	incremental bool
	buffers     *ring.Buffers          // nil where buffers are given by requests
	head        func() (uint16, error) // of buffers

	bufs   []buffer // by id
	free   []uint16 // ids, as a stack
	given  int      // buffers that the kernel has, as far as its completions have told
	target int      // how many it is to have
	least  int      // what target begins with
	most   int      // what it may grow to
	hungry bool     // target was too few
	mean   int      // bytes of a receive, of late

	loans []uint32 // by lease - 1: onLoan and the id of the buffer, or the next free one + 1
	next  uint32   // free loan + 1; 0 for none
}

// buffer is what is known of one buffer.
type buffer struct {
	used  uint32 // bytes of it that were received into
	lent  int32  // borrowers
	place uint16 // in the ring of buffers
	given bool
}

const onLoan = 1 << 31

// Sizes. Packed buffers can be few, since small messages share one. More of them would only let more large messages be
// received ahead of their use: then they are out of the processor's cache by the time they are used. The others are
// taken one for each message, however small.
const (
	packedSize   = 64 << 10
	packedTarget = 256 << 10 // bytes
	packedMost   = 1 << 20
	largeMean    = 4 << 10 // bytes of a receive, from which on more buffers are of no use

	plainSize   = 64 << 10
	plainTarget = 128 // buffers
	plainMost   = 1024

	poolSize = 256 << 20 // bytes of address space
)

func (l *pool) init(r *ring.Ring, g *rung, can abilities, cfg backend.Config) (err error) {
	l.incremental = can.incremental
	l.size = plainSize
	if l.incremental {
		l.size = packedSize
	}
	if cfg.BufferSize != 0 {
		l.size = cfg.BufferSize
	}
	if l.count = cfg.BufferCount; l.count == 0 {
		l.count = min(max(poolSize/l.size, 1), 1<<15)
	}
	if l.target, l.most = plainTarget, plainMost; l.incremental {
		l.target, l.most = max(packedTarget/l.size, 4), max(packedMost/l.size, 4)
	}
	l.target, l.most = min(l.target, l.count), min(l.most, l.count)
	l.least, l.mean = l.target, largeMean // until small ones are seen
	if l.mem, err = ring.Map(l.size * l.count); err != nil {
		return err
	}
	if g.multishot {
		if l.buffers, err = ring.NewBuffers(r, bufferGroup, l.count, l.incremental); err != nil {
			return err
		}
		l.head = l.buffers.Head
	}
	l.bufs = make([]buffer, l.count)
	l.free = make([]uint16, l.count)
	for i := range l.free {
		l.free[i] = uint16(l.count - 1 - i)
	}
	return nil
}

func (l *pool) drop() {
	if l.buffers != nil {
		l.buffers.Free()
		l.buffers = nil
	}
	if l.mem != nil {
		ring.Unmap(l.mem)
		l.mem = nil
	}
}

func (l *pool) memory(bid uint16) []byte {
	return l.mem[int(bid)*l.size:][:l.size]
}

// supply gives the kernel buffers up to the target.
func (p *proactor) supply() {
	l := &p.pool
	l.adjust()
	if l.given >= l.target || len(l.free) == 0 {
		return
	}
	if l.buffers != nil {
		for l.given < l.target && len(l.free) > 0 {
			bid := l.give()
			l.bufs[bid].place = l.buffers.Add(l.memory(bid), bid)
		}
		l.buffers.Publish()
		return
	}
	// Half of the queue is for others.
	for room := p.ring.Entries()/2 - p.ring.Pending(); l.given < l.target && len(l.free) > 0 && room > 0; room-- {
		bid, e := l.give(), p.ring.SQE()
		e.PrepProvide(l.memory(bid), bufferGroup, bid, p.can.skip)
		e.UserData = tagOwn | uint64(bid) + 1
	}
}

// give takes a free buffer, which there is, for the kernel.
func (l *pool) give() uint16 {
	last := len(l.free) - 1
	bid := l.free[last]
	l.free = l.free[:last]
	l.bufs[bid].used, l.bufs[bid].given = 0, true
	l.given++
	return bid
}

// provided is told what became of a request that gave a buffer.
func (l *pool) provided(bid uint16, res int32) {
	if res < 0 && int(bid) < l.count && l.bufs[bid].given {
		l.spent(bid)
	}
}

// grow is called when the kernel had too few buffers. Where others are free, and more would help, it is to have more from
// the next turn on.
func (l *pool) grow() {
	if l.given == 0 && len(l.free) > 0 && !(l.incremental && l.mean >= largeMean) {
		l.hungry = true
	}
}

// adjust raises the target once, however many receives found none, and takes that back where messages have become large.
func (l *pool) adjust() {
	switch {
	case l.hungry:
		l.hungry, l.target = false, min(2*l.target, l.most)
	case l.incremental && l.mean >= largeMean:
		l.target = l.least
	}
}

var errBuffer = errors.New("io_uring: the kernel reports a buffer that it does not have")

// take notes a completion that names a buffer, and lends the n bytes that it reports.
func (l *pool) take(flags uint32, n int) ([]byte, backend.Lease, error) {
	bid := flags >> ring.CQEBufferShift
	if int(bid) >= l.count || !l.bufs[bid].given || n > l.size-int(l.bufs[bid].used) {
		return nil, 0, errBuffer
	}
	b := &l.bufs[bid]
	from := b.used
	if n > 0 {
		b.used += uint32(n)
		b.lent++
		l.mean += (n - l.mean) >> 4
	}
	if !l.incremental || int(b.used) == l.size || flags&ring.CQEBufMore == 0 && l.passed(b) {
		l.spent(uint16(bid))
	}
	if n <= 0 {
		return nil, 0, nil
	}
	at := int(bid)*l.size + int(from)
	return l.mem[at : at+n : at+n], l.lend(bid), nil
}

// passed asks the kernel whether it is done with b. Flags alone do not tell: several kernels leave BUF_MORE out where an
// empty result leaves the buffer where it is, and one that was given twice would be lent twice.
func (l *pool) passed(b *buffer) bool {
	head, err := l.head()
	return err == nil && int16(head-b.place) > 0
}

// serves is the number of receives that the given buffers will do for, most likely.
func (l *pool) serves() int {
	if !l.incremental {
		return l.given
	}
	return l.given * max(l.size/(l.mean+1), 1)
}

// spent notes that the kernel is done with a buffer.
func (l *pool) spent(bid uint16) {
	b := &l.bufs[bid]
	b.given = false
	l.given--
	if b.lent == 0 {
		l.free = append(l.free, bid)
	}
}

func (l *pool) lend(bid uint32) backend.Lease {
	i := l.next
	if i == 0 {
		l.loans = append(l.loans, 0)
		i = uint32(len(l.loans))
	} else {
		l.next = l.loans[i-1]
	}
	l.loans[i-1] = onLoan | bid
	return backend.Lease(i)
}

func (l *pool) release(lease backend.Lease) {
	if int(lease) > len(l.loans) || l.loans[lease-1]&onLoan == 0 {
		panic("eyewall: Release of a lease that is not on loan")
	}
	bid := uint16(l.loans[lease-1])
	l.loans[lease-1], l.next = l.next, uint32(lease)
	b := &l.bufs[bid]
	if b.lent--; b.lent == 0 && !b.given {
		l.free = append(l.free, bid)
	}
}
