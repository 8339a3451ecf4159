//go:build unix

package readiness

import (
	"syscall"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/ops"
)

// What an operation has gone through, in ops.Op.State.
const (
	tried      = 1 << iota // it met the kernel at least once
	connecting             // connect(2) has begun
	resting                // it is tried again after a while, as no event will tell when
	pipeless               // a Splice for which there is no pipe, so that it is a Recv
)

// The calls at a time for one direction of one descriptor are bounded, so that none starves the others. A thorough look
// has bounds for each operation.
const (
	tries   = 8
	accepts = 32
)

// serve carries out what can be of f, within bounds; what is left is queued again.
func (b *Backend) serve(f *ops.FD) {
	f.State |= queued // what begins meanwhile is served here
	left := b.serveWriting(f)
	if b.serveReading(f) {
		left = true
	}
	if f.Polled() {
		b.servePolls(f)
	}
	f.State &^= queued
	if left {
		b.push(&b.ready, f)
	}
}

// serveWriting tells whether it left something to do.
func (b *Backend) serveWriting(f *ops.FD) bool {
	var before *ops.Op
	for n := 0; ; n++ {
		o := f.Writing()
		bound := tries
		if b.thorough {
			if bound = triesLooking; o != before {
				n, before = 0, o
			}
		}
		switch {
		case o == nil:
			return false
		case o.State&resting != 0 && f.State&stalled != 0:
			return false
		case f.State&full != 0:
			if b.waits(f, o, Writable) {
				return false
			}
		case n >= bound || b.table.Room() == 0:
			return true
		default:
			b.tryWriting(f, o)
		}
	}
}

// serveReading tells whether it left something to do.
func (b *Backend) serveReading(f *ops.FD) bool {
	var before *ops.Op
	had := 0
	for n := 0; ; n++ {
		o := f.Reading()
		if b.thorough && o != before {
			n, before, had = 0, o, b.table.Filled()
		}
		switch {
		case o == nil || f.State&starving != 0 && o.Lent():
			return false
		case f.State&drained != 0:
			if b.waits(f, o, Readable) {
				return false
			}
		case n >= tries && (o.Kind != backend.Accept || n >= accepts) || b.table.Room() == 0 || b.sated():
			return true
		case b.thorough && o.Multishot && b.table.Filled() > had:
			return true // one result is enough
		default:
			b.tryReading(f, o)
		}
	}
}

func (b *Backend) tryWriting(f *ops.FD, o *ops.Op) {
	switch o.Kind {
	case backend.Send:
		b.send(f, o)
	case backend.SendFile:
		b.sendFile(f, o)
	case backend.Write:
		b.write(f, o)
	default:
		b.connect(f, o)
	}
}

func (b *Backend) tryReading(f *ops.FD, o *ops.Op) {
	switch o.Kind {
	case backend.Recv, backend.Splice:
		switch {
		case (recvReads || o.Kind == backend.Splice) && !b.isSocket(f): // read(2) and splice(2) take anything
			b.finish(o, 0, syscall.ENOTSOCK)
		case o.Kind == backend.Splice && o.State&pipeless == 0:
			b.splice(f, o)
		case o.Lent():
			b.recvLent(f, o)
		default:
			b.recv(f, o)
		}
	case backend.Read:
		b.read(f, o)
	default:
		b.accept(f, o)
	}
}

// waits sees to it that f, which is not ready in that direction, is watched for the sake of o. If that is impossible
// it has ended o, or f may be tried at once.
func (b *Backend) waits(f *ops.FD, o *ops.Op, direction Ready) bool {
	err := b.watch(f, direction)
	switch {
	case err == nil:
		return true
	case err == syscall.EPERM && o.State&tried != 0: // always ready, and yet it made us wait
		b.stall(f)
		return true
	}
	f.State &^= uint32(direction)
	if err != syscall.EPERM {
		b.finish(o, o.Moved(), err)
	}
	return false
}

// watch has the poller watch f in those directions.
func (b *Backend) watch(f *ops.FD, ready Ready) error {
	mask := uint32(ready) << watchedShift
	if f.State&mask == mask {
		return nil
	}
	if b.traits.Lasting { // others only note it
		b.table.Stats.Syscalls++
	}
	now, err := b.poller.Watch(int(f.Num), ready)
	if b.traits.Lasting && now != 0 && f.State&watched == 0 {
		b.watching++
	}
	f.State |= uint32(now) << watchedShift
	return err
}

// finish ends o without lent data.
func (b *Backend) finish(o *ops.Op, n int, err error) { b.table.Finish(o, n, err, nil, 0) }

// failed deals with an error: o waits, is tried again, or ends.
func (b *Backend) failed(f *ops.FD, o *ops.Op, direction Ready, e syscall.Errno) {
	switch e {
	case syscall.EINTR:
	case syscall.EAGAIN:
		o.State |= tried
		f.State |= uint32(direction)
	default:
		b.finish(o, o.Moved(), e)
	}
}
