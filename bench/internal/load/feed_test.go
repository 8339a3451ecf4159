//go:build linux

package load

import (
	"bytes"
	"math"
	"testing"

	"github.com/eyewall/eyewall/bench/internal/control"
)

// checker is a worker with one connection that has sent n messages.
func checker(t *testing.T, size int, n uint64) *worker {
	t.Helper()
	win := &window{}
	win.from.Store(math.MaxInt64)
	win.to.Store(math.MaxInt64)
	w, err := newWorker(&control.Spec{Size: size, Depth: 1}, win, true)
	if err != nil {
		t.Fatal(err)
	}
	w.conns = []conn{{id: 3, tx: n}}
	return w
}

// stream is what the connection has sent.
func stream(size int, id, n uint64) (all []byte) {
	m := newMessages(size)
	for i := range n {
		all = append(all, m.from(id, i, i+1, 0)...)
	}
	return all
}

func TestAnswersInAnyPieces(t *testing.T) {
	for _, size := range []int{1, 7, 8, 15, 16, 17, 64, 5000} {
		all := stream(size, 3, 5)
		for _, piece := range []int{1, 3, size, size + 1, len(all)} {
			w := checker(t, size, 5)
			answers := 0
			for rest := all; len(rest) > 0; {
				k := min(piece, len(rest))
				w.feed(&w.conns[0], rest[:k], 0, func(*conn, int64) { answers++ })
				rest = rest[k:]
			}
			if answers != 5 || w.mismatches != 0 {
				t.Errorf("size %d in pieces of %d: %d answers, %d mismatches", size, piece, answers, w.mismatches)
			}
		}
	}
}

func TestWrongAnswersShow(t *testing.T) {
	const size = 40
	good := stream(size, 3, 3)
	wrong := map[string][]byte{
		"twice the first":           append(bytes.Clone(good[:size]), good[:size]...),
		"another connection's":      stream(size, 4, 3),
		"one byte missing":          append(bytes.Clone(good[:5]), good[6:]...),
		"more than was asked for":   append(bytes.Clone(good), good...),
		"messages in another order": append(bytes.Clone(good[size:]), good[:size]...),
	}
	for i := range size {
		b := bytes.Clone(good)
		b[size+i] ^= 1
		wrong["byte "+string(rune('0'+i))+" changed"] = b
	}
	for name, b := range wrong {
		w := checker(t, size, 3)
		w.feed(&w.conns[0], b, 0, func(*conn, int64) {})
		if w.mismatches == 0 {
			t.Errorf("%s: not seen", name)
		}
	}
}

func TestMessagesLongerThanTheScratch(t *testing.T) {
	const size = 200 << 10
	m := newMessages(size)
	p := m.from(1, 7, 9, 5)
	if len(p) != size-5 || !m.check(p, 1, 7, 5) {
		t.Errorf("%d bytes", len(p))
	}
}
