package ops

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/eyewall/eyewall/backend"
)

// TestLaws submits, cancels and closes at random, over an engine that finishes when it likes, and looks whether
// each operation has its one final completion, in its turn.
func TestLaws(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { laws(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

type submitted struct {
	token   backend.Token
	op      backend.Op
	stopped bool // it was cancelled or came after a Close, and may end out of turn
	done    bool
}

func laws(t *testing.T, rng *rand.Rand) {
	e := newEngine(t, 50)
	e.quiet = true
	var all []*submitted
	find := func(token backend.Token) *submitted {
		for _, s := range slices.Backward(all) {
			if s.token == token {
				return s
			}
		}
		t.Fatalf("a completion of %#x, which nobody submitted", token)
		return nil
	}
	check := func(c backend.Completion) {
		s := find(c.Token)
		if s.done {
			t.Fatalf("%v of %d completes after its end", s.op.Kind, s.op.FD)
		}
		if c.More {
			return
		}
		s.done = true
		if c.Err == backend.ErrTooManyOps {
			return
		}
		for _, before := range all {
			if before == s {
				break
			}
			if before.done || before.op.FD != s.op.FD {
				continue
			}
			same := (&Op{Kind: before.op.Kind}).direction() == (&Op{Kind: s.op.Kind}).direction() && s.op.Kind != backend.Poll
			switch {
			case before.op.Kind == backend.Close && c.Err == backend.ErrClosed: // it came too late
			case s.op.Kind == backend.Close && c.Err == nil:
				t.Fatalf("Close of %d completes before a %v", s.op.FD, before.op.Kind)
			case same && !s.stopped && !before.stopped && s.op.Kind != backend.Close && before.op.Kind != backend.Close:
				t.Fatalf("%v of %d completes out of turn", s.op.Kind, s.op.FD)
			}
		}
	}
	kinds := []backend.Kind{backend.Accept, backend.Connect, backend.Recv, backend.Recv, backend.Send, backend.Send, backend.Read,
		backend.Write, backend.Poll, backend.Close}
	someEnd := func(all bool) {
		for _, o := range slices.Clone(e.begun) {
			if !slices.Contains(e.begun, o) || !all && !o.Aborted() && rng.IntN(3) > 0 || !all && rng.IntN(3) == 0 {
				continue
			}
			for o.Multishot && rng.IntN(2) == 0 {
				e.table.Emit(o, 1, nil, 0)
			}
			if o.Aborted() && rng.IntN(4) > 0 {
				e.finish(o, 0, o.Cause())
			} else {
				e.finish(o, 1, nil)
			}
		}
	}
	for range 300 {
		for range rng.IntN(6) {
			s := &submitted{op: backend.Op{Kind: kinds[rng.IntN(len(kinds))], FD: rng.IntN(4)}}
			switch s.op.Kind {
			case backend.Read, backend.Send, backend.Write:
				s.op.Buf = []byte("x")
			case backend.Connect:
				s.op.Addr = []byte("x")
			case backend.Recv, backend.Accept:
				s.op.Multishot = rng.IntN(2) == 0
			}
			for _, before := range all {
				if before.op.Kind == backend.Close && before.op.FD == s.op.FD && !before.done {
					s.stopped = true
				}
			}
			s.token = e.table.Submit(&s.op)
			all = append(all, s)
		}
		for range min(len(all), rng.IntN(3)) {
			s := all[max(0, len(all)-60)+rng.IntN(min(60, len(all)))] // one of the last, many of which are in flight
			s.stopped = true
			e.table.Cancel(s.token)
		}
		got := e.poll(rng.IntN(8), func() { someEnd(false) })
		for _, c := range got {
			check(c)
		}
	}
	for fd := range 4 {
		s := &submitted{op: backend.Op{Kind: backend.Close, FD: fd}}
		s.token = e.table.Submit(&s.op)
		all = append(all, s)
	}
	for range 1000 {
		for _, c := range e.poll(8, func() { someEnd(true) }) {
			check(c)
		}
	}
	for _, s := range all {
		if !s.done {
			t.Errorf("%v of %d has no final completion", s.op.Kind, s.op.FD)
		}
	}
	if e.table.Live() != 0 || len(e.begun) != 0 {
		t.Errorf("left are %d operations, %d of them begun", e.table.Live(), len(e.begun))
	}
}
