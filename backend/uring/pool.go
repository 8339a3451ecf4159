//go:build linux

package uring

import (
	"errors"
	"fmt"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/loans"
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
	buffers     *ring.Buffers // nil where buffers are given by requests

	bufs    []buffer // by id
	free    []uint16 // ids, as a stack
	given   int      // buffers that the kernel has, as far as its completions have told
	target  int      // how many it is to have
	least   int      // what target begins with
	most    int      // what it may grow to
	hungry  bool     // target was too few
	fresh   bool     // there may be unread completions from before the kernel got some of those
	refused bool     // the kernel had no memory to take a buffer, and a pause is due
	mean    int      // bytes of a receive, of late

	// Incremental buffers are used up in the order in which they were given.
	order  []uint16 // ids by place, modulo count
	oldest uint16   // the place of the first one that the kernel has

	loans loans.Table // the id of the buffer of each piece
}

// buffer is what is known of one buffer.
type buffer struct {
	used  uint32 // bytes of it that were received into
	lent  int32  // borrowers
	place uint16 // in the ring of buffers
	given bool
}

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
		l.buffers, err = patient(func() (*ring.Buffers, error) {
			return ring.NewBuffers(r, bufferGroup, l.count, l.incremental)
		})
		if err != nil {
			return err
		}
	}
	l.bufs = make([]buffer, l.count)
	l.order = make([]uint16, l.count)
	l.free = make([]uint16, l.count)
	for i := range l.free {
		l.free[i] = uint16(l.count - 1 - i)
	}
	return nil
}

func (l *pool) drop() {
	l.loans.Close()
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
	if l.given >= l.target || len(l.free) == 0 || l.refused {
		return
	}
	l.fresh = true
	if l.buffers != nil {
		for l.given < l.target && len(l.free) > 0 {
			bid := l.give()
			l.put(bid, l.buffers.Add(l.memory(bid), bid))
		}
		l.buffers.Publish()
		return
	}
	// Half of the queue is for others. A queue of one entry is for both, but for a buffer only if the kernel has none.
	most := p.ring.Entries() / 2
	if l.given == 0 {
		most = max(most, 1)
	}
	for room := most - p.ring.Pending(); l.given < l.target && len(l.free) > 0 && room > 0; room-- {
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

// put notes the place that a given buffer has in the ring of buffers.
func (l *pool) put(bid, place uint16) {
	l.bufs[bid].place = place
	l.order[int(place)%l.count] = bid
}

// provided is told what became of a request that gave a buffer.
func (p *proactor) provided(bid uint16, res int32) {
	l := &p.pool
	if res >= 0 || int(bid) >= l.count || !l.bufs[bid].given {
		return
	}
	l.spent(bid)
	if !l.refused {
		l.refused = true
		p.rests.Add(0, p.Now())
	}
}

// stocked reports whether the kernel has a buffer, or can be given one now.
func (l *pool) stocked() bool { return l.given > 0 || len(l.free) > 0 && !l.refused }

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

var (
	errBuffer = errors.New("io_uring: the kernel reports a buffer that it does not have")
	errLoans  = fmt.Errorf("io_uring: more than %d leases are out", loans.Max)
)

// take notes a completion that names a buffer, and lends the n bytes that it reports.
//
// Whether the kernel is done with an incremental buffer is not asked of the completion's flags, nor of the kernel: kernels
// differ in the flags of results without bytes, and by the time a completion is read the kernel may be further on. Bytes
// decide. A buffer that the kernel gave up before it was full shows by a completion that names a later one.
func (l *pool) take(flags uint32, n int) ([]byte, backend.Lease, error) {
	bid := flags >> ring.CQEBufferShift
	if int(bid) >= l.count {
		return nil, 0, errBuffer
	}
	if l.incremental && n <= 0 {
		return nil, 0, nil // it has taken nothing
	}
	b := &l.bufs[bid]
	if !b.given || n > l.size-int(b.used) {
		return nil, 0, errBuffer
	}
	from := b.used
	if n > 0 {
		b.used += uint32(n)
		b.lent++
		l.mean += (n - l.mean) >> 4
	}
	if l.incremental {
		l.reach(b)
	} else {
		l.spent(uint16(bid))
	}
	if n <= 0 {
		return nil, 0, nil
	}
	at := int(bid)*l.size + int(from)
	lease := l.loans.Lend(bid)
	if lease == 0 {
		return nil, 0, errLoans
	}
	return l.mem[at : at+n : at+n], backend.Lease(lease), nil
}

// reach notes that the kernel has come to b, an incremental buffer: it is done with those given before b, and with b if
// that is full.
func (l *pool) reach(b *buffer) {
	for l.oldest != b.place {
		l.pass()
	}
	if int(b.used) == l.size {
		l.pass()
	}
}

// pass notes that the kernel is done with the oldest incremental buffer.
func (l *pool) pass() {
	l.spent(l.order[int(l.oldest)%l.count])
	l.oldest++
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

func (l *pool) release(lease backend.Lease) {
	bid, ok := l.loans.End(uint32(lease))
	if !ok {
		return
	}
	b := &l.bufs[bid]
	if b.lent--; b.lent == 0 && !b.given {
		l.free = append(l.free, uint16(bid))
	}
}
