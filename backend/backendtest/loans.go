//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"encoding/binary"
	"unsafe"

	"github.com/eyewall/eyewall/backend"
)

// loan is a provided buffer on loan, or a pipe.
type loan struct {
	lease   backend.Lease
	data    []byte // nil where it is a pipe
	sum     uint64
	left    int  // bytes in the pipe
	sending bool // a Send of it is in flight
}

// sends notes that what a pipe holds is to be sent, and returns how much that is.
func (c *checked) sends(op *backend.Op) int {
	l := c.loan(op.Lease)
	switch {
	case l == nil || l.data != nil:
		c.errorf("%s: lease %#x lends no pipe", describe(op), op.Lease)
		return 0
	case l.sending:
		c.errorf("%s: another Send of lease %#x is in flight", describe(op), op.Lease)
	}
	l.sending = true
	return l.left
}

// loan finds what is on loan under l; nil if nothing is.
func (c *checked) loan(l backend.Lease) *loan {
	for i := range c.lent {
		if c.lent[i].lease == l {
			return &c.lent[i]
		}
	}
	return nil
}

// borrow files a lent buffer.
func (c *checked) borrow(f *flight, got *backend.Completion, bad func(string, ...any)) {
	if got.Lease == 0 {
		return
	}
	if len(got.Data) > 0 {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(got.Data)))
		to := from + uintptr(len(got.Data))
		for i := range c.lent {
			o := &c.lent[i]
			at := uintptr(unsafe.Pointer(unsafe.SliceData(o.data)))
			if o.lease == got.Lease {
				bad("lease %#x is lent already", got.Lease)
			}
			if from < at+uintptr(len(o.data)) && at < to {
				bad("its Data overlaps what lease %#x lends", o.lease)
			}
		}
	}
	c.lentBytes += len(got.Data)
	if room := c.caps.BufferSize * c.caps.BufferCount; c.lentBytes > room {
		bad("%d bytes are lent, and there are %d", c.lentBytes, room)
	}
	if cap(got.Data) > len(got.Data) {
		// An append by the borrower would write over what another one borrows.
		bad("the capacity of Data, %d, is beyond its length", cap(got.Data))
	}
	l := loan{lease: got.Lease, data: got.Data}
	if f.kind == backend.Splice && got.Data == nil {
		if l.left = got.N; c.loan(l.lease) != nil {
			bad("lease %#x is lent already", l.lease)
		}
	}
	if c.sums {
		l.sum = sum(l.data)
	}
	c.lent = append(c.lent, l)
}

func (c *checked) Release(l backend.Lease) {
	c.enter("Release")
	defer c.leave()
	if l == 0 {
		c.b.Release(l)
		return
	}
	for i := range c.lent {
		o := &c.lent[i]
		if o.lease != l {
			continue
		}
		if o.sending {
			c.errorf("Release of lease %#x, of which a Send is in flight", l)
		}
		if c.sums && sum(o.data) != o.sum {
			c.errorf("the bytes lent under lease %#x changed while on loan", l)
		}
		c.lentBytes -= len(o.data)
		for j := range o.data {
			o.data[j] = 0xdb
		}
		last := len(c.lent) - 1
		*o = c.lent[last]
		c.lent[last] = loan{}
		c.lent = c.lent[:last]
		c.b.Release(l)
		return
	}
	c.errorf("Release of lease %#x, which is not on loan: released twice, or never lent", l)
}

func (c *checked) Fetch(l backend.Lease, p []byte) int {
	c.enter("Fetch")
	defer c.leave()
	o := c.loan(l)
	switch {
	case o == nil || o.data != nil:
		c.errorf("Fetch of lease %#x, which lends no pipe", l)
	case o.sending:
		c.errorf("Fetch of lease %#x, of which a Send is in flight", l)
	}
	n := c.b.Fetch(l, p)
	if o == nil || o.data != nil {
		return n
	}
	if want := min(len(p), o.left); n != want {
		c.errorf("Fetch of lease %#x moved %d bytes; %d are left, and there is room for %d", l, n, o.left, len(p))
	}
	o.left -= min(max(n, 0), o.left)
	return n
}

// sum is FNV-1a over words, which is enough to find bytes that changed, and quick, also under the race detector,
// which learns nothing from bytes that the kernel writes.
//
//go:norace
func sum(p []byte) uint64 {
	h := uint64(14695981039346656037)
	for ; len(p) >= 8; p = p[8:] {
		h = (h ^ binary.LittleEndian.Uint64(p)) * 1099511628211
	}
	for _, b := range p {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}
