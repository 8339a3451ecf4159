//go:build linux

package load

import (
	"bytes"
	"encoding/binary"
)

// A message begins with a stamp made of its connection and its number there, ends with the complement (from 16 bytes
// on), and has a fixed pattern between. So a byte that is missing, doubled, changed, or another connection's shows.

// messages makes and checks the messages of one size.
type messages struct {
	size int
	out  []byte // slots of a message each, filled with the pattern
	want []byte // the message that a piece is checked against
}

func newMessages(size int) messages {
	slots := max(1, 64<<10/size)
	m := messages{size: size, out: make([]byte, slots*size), want: make([]byte, size)}
	x := uint32(1)
	for i := range m.want {
		x = x*1664525 + 1013904223
		m.want[i] = byte(x >> 24)
	}
	for i := range slots {
		copy(m.out[i*size:], m.want)
	}
	return m
}

// stamp makes slot message n of connection id.
func stamp(slot []byte, id, n uint64) {
	s := id<<40 | n&(1<<40-1)
	if len(slot) < 8 {
		for i := range slot {
			slot[i] = byte(s >> (8 * i))
		}
		return
	}
	binary.LittleEndian.PutUint64(slot, s)
	if len(slot) >= 16 {
		binary.LittleEndian.PutUint64(slot[len(slot)-8:], ^s)
	}
}

// from lays out messages first to last of a connection, as many as fit, and returns them without their first skip bytes.
func (m *messages) from(id, first, last uint64, skip int) []byte {
	n := 0
	for ; first < last && n < len(m.out); first++ {
		stamp(m.out[n:n+m.size], id, first)
		n += m.size
	}
	return m.out[skip:n]
}

// check tells whether p is what message n of connection id has from byte at on.
func (m *messages) check(p []byte, id, n uint64, at int) bool {
	stamp(m.want, id, n)
	return bytes.Equal(p, m.want[at:at+len(p)])
}
