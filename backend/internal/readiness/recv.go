//go:build unix

package readiness

import (
	"io"
	"syscall"

	"github.com/eyewall/eyewall/backend/internal/ops"
	"golang.org/x/sys/unix"
)

// recvLent receives into a provided buffer.
func (b *Backend) recvLent(f *ops.FD, o *ops.Op) {
	room := b.room(f)
	if room == nil {
		return
	}
	b.table.Stats.Syscalls++
	n, e := recvFD(f.Num, room)
	switch {
	case e == 0 && n > 0:
		o.State |= tried
		b.taken += n
		data, lease := b.pool.lend(n)
		b.took(f, n, len(room))
		if o.Multishot {
			b.table.Emit(o, n, data, lease)
		} else {
			b.table.Finish(o, n, nil, data, lease)
		}
	case e == 0:
		b.finish(o, 0, io.EOF)
	default:
		b.failed(f, o, Readable, e)
	}
}

// room is where a lent message goes; nil if f has to wait for that, in turn.
func (b *Backend) room(f *ops.FD) []byte {
	if room := b.pool.room(); room != nil {
		return room
	}
	if f.State&starving == 0 {
		b.table.Stats.Starved++
		f.State |= starving
		b.starved.push(f)
	}
	return nil
}

// recv receives into the operation's own buffer.
func (b *Backend) recv(f *ops.FD, o *ops.Op) {
	b.table.Stats.Syscalls++
	n, e := recvFD(f.Num, o.Extra.Buf)
	switch {
	case e == 0 && n > 0:
		b.taken += n
		b.took(f, n, len(o.Extra.Buf))
		b.finish(o, n, nil)
	case e == 0:
		b.finish(o, 0, io.EOF)
	default:
		b.failed(f, o, Readable, e)
	}
}

// isSocket tells whether f is a socket, which it finds out once.
func (b *Backend) isSocket(f *ops.FD) bool {
	if f.State&socket == 0 {
		b.table.Stats.Syscalls++
		if _, err := unix.GetsockoptInt(int(f.Num), unix.SOL_SOCKET, unix.SO_TYPE); err == syscall.ENOTSOCK {
			return false
		}
		f.State |= socket
	}
	return true
}

// read reads from anything.
func (b *Backend) read(f *ops.FD, o *ops.Op) {
	b.table.Stats.Syscalls++
	n, e := readFD(f.Num, o.Extra.Buf)
	switch {
	case e == 0 && n > 0:
		b.finish(o, n, nil)
	case e == 0:
		b.finish(o, 0, io.EOF)
	default:
		b.failed(f, o, Readable, e)
	}
}

// took notes that a read from a socket got n bytes where there was room for more: is there anything left?
func (b *Backend) took(f *ops.FD, n, room int) {
	if n == room || f.State&ended != 0 {
		return
	}
	if b.traits.Lasting {
		// No event will tell of what is left, so that it must not be left. Other sockets keep messages apart, or those
		// that carry descriptors.
		if f.State&typed == 0 {
			f.State |= typed
			b.table.Stats.Syscalls++
			if isTCP(f.Num) {
				f.State |= stream
			}
		}
		if f.State&stream == 0 {
			return
		}
	}
	f.State |= drained
}
