package reactor

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
)

// manyPipes is more than a backend has.
const manyPipes = 120

// n is how many tasks hold one.
func (p *pipes) n() (n int) {
	for s := p.first; s != nil; s = s.next {
		n++
	}
	return n
}

// spliced is a connection that is spliced to another one whose peer does not read.
type spliced struct {
	from, to     Conn
	source, sink *net.TCPConn
	task         Task
	moved        int
	err          error
}

// stickAll has many tasks splice what does not go out: pipes are held by as many of them as there are pipes.
func stickAll(t *testing.T, task Task, data []byte) []*spliced {
	t.Helper()
	var list []*spliced
	for range manyPipes {
		s := new(spliced)
		s.from, s.to, s.source, s.sink = relayed(t, task, full)
		sendAll(s.source, data)
		s.task = task.Go(func(Task) error {
			for s.err == nil {
				s.from.c.more().bulk = bulkAfter // as if large pieces had come before
				var n int
				n, s.err = s.from.Splice(s.to)
				s.moved += n
			}
			return nil
		})
		list = append(list, s)
	}
	before, stands := -1, 0
	when(t, task, "all wait for their peers", func() bool {
		moved := 0
		for _, s := range list {
			if moved += s.moved; s.to.c.out == nil || s.to.c.out.done == s.to.c.out.written {
				moved, stands = 0, 0
				break
			}
		}
		if stands++; moved != before {
			before, stands = moved, 0
		}
		must(t, "Sleep", task.Sleep(2*time.Millisecond))
		return stands == 5
	})
	if n := task.Loop().pipes.n(); n == 0 && spyOn(task.Loop()).Caps().Pipes {
		t.Error("no task holds a pipe")
	}
	return list
}

// Others are spliced through pipes, however many tasks hold pipes that they send to peers which do not read.
// What they send is moved to memory meanwhile, in order.
func TestPipesForOthers(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			data := pattern(400_000)
			list := stickAll(t, task, data)

			spy := spyOn(task.Loop())
			pieces := func() (piped, all int) {
				spy.counts(func() { piped, all = spy.piped, spy.asked[backend.Splice] })
				return piped, all
			}
			from, to, source, sink := relayed(t, task, ListenConfig{})
			want := pattern(32 << 20)
			done := make(chan []byte, 1)
			go func() {
				got := make([]byte, len(want))
				n, _ := io.ReadFull(sink, got)
				done <- got[:n]
			}()
			pipedBefore, before := pieces()
			sendAll(source, want)
			if n, err := io.Copy(to, from); int(n) != len(want) || err != nil {
				t.Errorf("Copy: %d, %v", n, err)
			}
			piped, all := pieces()
			piped, all = piped-pipedBefore, all-before
			t.Logf("%d of %d pieces were received in pipes", piped, all)
			if piped < all/2 && spy.Caps().Pipes {
				t.Errorf("%d of %d pieces were received in pipes", piped, all)
			}
			must(t, "Flush", to.Flush())
			same(t, "what came", received(t, task, done), want)
			from.Close()
			to.Close()

			for i, s := range list {
				got := make(chan []byte, 1)
				go func() {
					b, _ := io.ReadAll(s.sink)
					got <- b
				}()
				when(t, task, "it has sent all on", s.task.Done)
				if s.err != io.EOF || s.moved != len(data) {
					t.Errorf("%d has sent on %d bytes of %d: %v", i, s.moved, len(data), s.err)
				}
				must(t, "CloseWrite", s.to.CloseWrite())
				same(t, "what was sent on", received(t, task, got), data)
				s.from.Close()
				s.to.Close()
			}
			if n := outstanding(task.Loop()); n != 0 {
				t.Errorf("%d buffers and pipes are lent after all", n)
			}
			if n := task.Loop().Stats().Kept; n != 0 {
				t.Errorf("%d bytes are kept after all", n)
			}
		})
	})
}

// A splice whose pipe was moved to memory ends like any other: what it has not sent is there to be read.
func TestPipeMovedAndCut(t *testing.T) {
	cuts := map[string]struct {
		cut  func(s *spliced)
		want error
	}{
		"write deadline": {func(s *spliced) { s.to.SetWriteDeadline(time.Now().Add(time.Millisecond)) }, ErrDeadline},
		"cancel":         {func(s *spliced) { s.task.Cancel() }, ErrCanceled},
		"close":          {func(s *spliced) { s.to.SetLinger(0); s.to.Close() }, ErrClosed},
		"reset":          {func(s *spliced) { s.sink.SetLinger(0); s.sink.Close() }, unix.ECONNRESET},
	}
	moves := map[string]func(task Task, s *pipeSend, cut func()){
		"before": func(task Task, s *pipeSend, cut func()) {
			s.move()
			task.Sleep(3 * time.Millisecond)
			cut()
		},
		"at the same time": func(task Task, s *pipeSend, cut func()) { s.move(); cut() },
		"after": func(task Task, s *pipeSend, cut func()) {
			cut()
			if l := s.c; l != nil && task.Loop().pipes.first == s {
				s.move()
			}
		},
	}
	for what, c := range cuts {
		for when, move := range moves {
			t.Run(what+", moved "+when, func(t *testing.T) {
				eachBackend(t, func(t *testing.T, name string) {
					run(t, name, func(task Task) { pipeMovedAndCut(t, task, c.cut, c.want, move) })
				})
			})
		}
	}
}

func pipeMovedAndCut(t *testing.T, task Task, cut func(*spliced), want error, move func(Task, *pipeSend, func())) {
	l := task.Loop()
	s := new(spliced)
	s.from, s.to, s.source, s.sink = relayed(t, task, full)
	s.from.c.more().bulk = bulkAfter
	data := pattern(2 << 20)
	sendAll(s.source, data)
	s.task = task.Go(func(Task) error {
		var n int64
		n, s.err = s.from.WriteTo(s.to)
		s.moved = int(n)
		return nil
	})
	if !spyOn(l).Caps().Pipes {
		s.task.Cancel()
		return
	}
	when(t, task, "it sends a pipe to a peer that does not read", func() bool {
		first := l.pipes.first
		must(t, "Sleep", task.Sleep(3*time.Millisecond))
		return first != nil && first == l.pipes.first && first.phase == pipeSends
	})
	move(task, l.pipes.first, func() { cut(s) })
	when(t, task, "it has ended", s.task.Done)
	wantErr(t, "WriteTo", s.err, want)
	var rest []byte
	for {
		got, err := s.from.Next()
		if err != nil {
			wantErr(t, "Next", err, io.EOF)
			break
		}
		rest = append(rest, got...)
	}
	if want == unix.ECONNRESET || want == ErrClosed { // how much of the last piece went out is nobody's to know
		if n := len(data) - len(rest); n < s.moved {
			t.Errorf("%d bytes are left after %d", len(rest), s.moved)
		}
		same(t, "what is left", rest, data[len(data)-len(rest):])
	} else {
		same(t, "what is left", rest, data[s.moved:])
		s.to.SetWriteDeadline(time.Time{})
		task.Go(func(Task) error { return s.to.Close() })
		var got []byte
		off(t, task, func() { got, _ = io.ReadAll(s.sink) })
		same(t, "what was sent on", got, data[:s.moved])
	}
	s.from.Close()
	if want == unix.ECONNRESET {
		s.to.Close()
	}
	if n := l.Stats().Kept; n != 0 {
		t.Errorf("%d bytes are kept after all", n)
	}
}

// What others write meanwhile comes after a pipe that is moved to memory, and not into the middle of it.
func TestPipeMovedStaysWhole(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			l := task.Loop()
			from, to, source, sink := relayed(t, task, full)
			if !spyOn(l).Caps().Pipes {
				return
			}
			fill := 400_000 // more than the sockets take
			from.c.more().bulk = bulkAfter
			data := pattern(fill)
			off(t, task, func() { source.Write(data[:fill/2]) })
			moved := 0
			first := task.Go(func(Task) error {
				for moved < len(data) {
					n, err := from.Splice(to)
					must(t, "Splice", err)
					moved += n
				}
				return nil
			})
			off(t, task, func() { source.Write(data[fill/2:]) })
			when(t, task, "a pipe is being sent", func() bool {
				s := l.pipes.first
				must(t, "Sleep", task.Sleep(3*time.Millisecond))
				return s != nil && s == l.pipes.first && s.phase == pipeSends
			})
			left := l.pipes.first.in.size()
			sentBefore := moved
			second := task.Go(func(Task) error {
				_, err := to.Write([]byte("after"))
				return err
			})
			must(t, "Yield", task.Yield())
			l.pipes.first.move()
			when(t, task, "the other has written", second.Done)
			var got []byte
			done := make(chan []byte, 1)
			go func() {
				p := make([]byte, len(data)+len("after"))
				n, _ := io.ReadFull(sink, p)
				done <- p[:n]
			}()
			when(t, task, "all is sent on", first.Done)
			must(t, "Flush", to.Flush())
			got = received(t, task, done)
			end := sentBefore + left
			want := append(append(append([]byte{}, data[:end]...), "after"...), data[end:]...)
			same(t, "what came", got, want)
			from.Close()
			to.Close()
		})
	})
}

// Without pipes nobody is asked to give one up, and a pair that finds one asks for none.
func TestPipesAreNotWantedForNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			from, to, source, sink := relayed(t, task, ListenConfig{})
			go io.Copy(io.Discard, sink)
			sendAll(source, pattern(8<<20))
			n, err := io.Copy(to, from)
			if n != 8<<20 || err != nil {
				t.Errorf("Copy: %d, %v", n, err)
			}
			if w := task.Loop().pipes.wanted; w != 0 {
				t.Errorf("%d pipes are wanted", w)
			}
			from.Close()
			to.Close()
		})
	})
}
