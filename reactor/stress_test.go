package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"
)

// Many tasks do at random what tasks can do with connections: read, write, cancel one another, set deadlines, close.
// Whatever they do, what is read is what was written, and where nobody closed too early it is all of it.
func TestStress(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var whole, cut, canceled, timeouts int
		for seed := range uint64(3) {
			s := &stress{TB: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), pairs: 50}
			run(t, name, s.main, WithLinger(10*time.Millisecond))
			if s.done != s.pairs {
				t.Errorf("seed %d: %d of %d pairs are done", seed, s.done, s.pairs)
			}
			whole, cut, canceled, timeouts = whole+s.whole, cut+s.cut, canceled+s.canceled, timeouts+s.timeouts
		}
		t.Logf("%d streams whole and %d cut, %d tasks canceled, %d timeouts", whole, cut, canceled, timeouts)
		if min(whole, cut, canceled, timeouts) == 0 {
			t.Error("not all of that has happened")
		}
	})
}

// stress is one run.
type stress struct {
	testing.TB
	seed   uint64
	random *rand.Rand
	pairs  int // to be had in all

	begun, done int // of pairs
	whole, cut  int // streams that came to the end, and that somebody closed before
	canceled    int // tasks
	timeouts    int
	streams     []*stream
	stop        bool
}

// stream is one direction of a pair of connections.
type stream struct {
	*stress
	name     string
	stamp    int  // tells it from others
	goal     int  // bytes to write
	from, to Conn // its two ends
	wrote    int
	read     int
	closed   bool // somebody has closed an end too early
	left     *int // directions of the pair that go on

	writer, reader Task // who is at it
}

const maxGoal = 400_000

// stamps is what streams are cut from: each begins elsewhere, so that no two have the same bytes at the same position.
var stamps = func() []byte {
	p := make([]byte, 2*maxGoal)
	rand.NewChaCha8([32]byte{2}).Read(p)
	return p
}()

// bytes is those of the stream from a position on.
func (s *stream) bytes(from, size int) []byte { return stamps[s.stamp+from:][:size] }

func (s *stress) main(task Task) {
	for range 10 {
		s.begin(task)
	}
	task.Go(s.meddle)
}

// begin makes a pair, and the tasks that use it.
func (s *stress) begin(task Task) {
	if s.begun == s.pairs {
		s.stop = s.done == s.pairs
		return
	}
	s.begun++
	n := s.begun
	task.Go(func(task Task) error {
		cfg := ListenConfig{}
		if n%2 == 0 {
			cfg = full
		}
		a, b := pairOf(s, task, cfg, "127.0.0.1:0")
		left := 2
		for i, ends := range [2][2]Conn{{a, b}, {b, a}} {
			x := &stream{stress: s, name: fmt.Sprintf("seed %d, pair %d, direction %d", s.seed, n, i), stamp: 997 * (2*n + i),
				goal: s.random.IntN(maxGoal), from: ends[0], to: ends[1], left: &left}
			s.streams = append(s.streams, x)
			x.write(task)
			x.receive(task)
		}
		return nil
	})
}

// meddle cancels tasks, moves deadlines and closes connections.
func (s *stress) meddle(task Task) error {
	for !s.stop {
		must(s, "Sleep", task.Sleep(time.Duration(s.random.IntN(60))*time.Microsecond))
		if len(s.streams) == 0 {
			continue
		}
		x := s.streams[s.random.IntN(len(s.streams))]
		switch n := s.random.IntN(100); {
		case n < 30:
			x.reader.Cancel()
		case n < 60:
			x.writer.Cancel()
		case n < 75:
			x.from.SetWriteDeadline(x.someTime())
		case n < 90:
			x.to.SetReadDeadline(x.someTime())
		case n < 93:
			x.closed = true
			x.other().closed = true
			x.from.Close()
		case n < 95:
			runtime.GC()
		}
	}
	return nil
}

// other is the pair's other direction.
func (s *stream) other() *stream {
	for _, o := range s.streams {
		if o.from == s.to && o.to == s.from {
			return o
		}
	}
	return s // it is over
}

// someTime is soon, or over, or none.
func (s *stream) someTime() time.Time {
	if s.random.IntN(3) == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(s.random.IntN(1000)-200) * time.Microsecond)
}

// next is a piece of what is to be written.
func (s *stream) next(size int) []byte {
	return bytes.Clone(s.bytes(s.wrote, min(size, s.goal-s.wrote)))
}

// write starts a task that writes the stream. One that is canceled leaves the rest to another.
func (s *stream) write(task Task) {
	s.writer = task.Go(func(task Task) error {
		for s.wrote < s.goal {
			var n int
			var err error
			switch s.random.IntN(6) {
			case 0, 1:
				n, err = s.from.Write(s.next(s.random.IntN(2000)))
			case 2:
				n, err = s.from.Write(s.next(directSize + s.random.IntN(100_000)))
			case 3:
				p := s.next(s.random.IntN(60_000))
				cut := s.random.IntN(len(p) + 1)
				n, err = s.from.Writev([][]byte{p[:cut], p[cut:]})
			case 4:
				err = s.from.Flush()
			case 5:
				err = task.Sleep(time.Duration(s.random.IntN(100)) * time.Microsecond)
			}
			s.wrote += n
			if s.goesOn(task, err, s.write, func() { s.from.SetWriteDeadline(time.Time{}) }) {
				continue
			}
			return nil
		}
		for {
			err := s.from.CloseWrite()
			if err == nil {
				return nil
			}
			if !s.goesOn(task, err, s.write, func() { s.from.SetWriteDeadline(time.Time{}) }) {
				return nil
			}
		}
	})
}

// receive starts a task that reads the stream, to its end.
func (s *stream) receive(task Task) {
	s.reader = task.Go(func(task Task) error {
		for {
			var data []byte
			var err error
			switch s.random.IntN(4) {
			case 0, 1:
				data, err = s.to.Next()
			case 2:
				data = make([]byte, 1+s.random.IntN(10_000))
				var n int
				n, err = s.to.Read(data)
				data = data[:n]
			case 3:
				err = task.Sleep(time.Duration(s.random.IntN(200)) * time.Microsecond)
			}
			if s.read+len(data) > s.goal || !bytes.Equal(data, s.bytes(s.read, len(data))) {
				s.Fatalf("%s: the %d bytes from %d on are others", s.name, len(data), s.read)
			}
			s.read += len(data)
			if err == nil || !isEOF(err) && s.goesOn(task, err, s.receive, func() { s.to.SetReadDeadline(time.Time{}) }) {
				continue
			}
			if err := err; errors.Is(err, ErrCanceled) {
				return nil // another goes on
			}
			s.end(task)
			return nil
		}
	})
}

// goesOn tells whether a task goes on after an error. If that is its own cancellation, another one does in its place.
func (s *stream) goesOn(task Task, err error, again func(Task), clear func()) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrCanceled):
		s.canceled++
		again(task)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.timeouts++
		clear()
		return true
	case !s.closed:
		s.Errorf("%s: %v", s.name, err)
	}
	return false
}

// end looks what became of the stream whose reader has met the end, and goes on with another pair.
func (s *stream) end(task Task) {
	switch {
	case s.closed:
		s.cut++
	case s.read != s.goal || s.wrote != s.goal:
		s.Errorf("%s: %d bytes came of %d, of which %d were written", s.name, s.read, s.goal, s.wrote)
	default:
		s.whole++
	}
	for i, x := range s.streams {
		if x == s {
			s.streams = append(s.streams[:i], s.streams[i+1:]...)
			break
		}
	}
	if *s.left--; *s.left > 0 {
		return
	}
	for _, c := range []Conn{s.from, s.to} {
		if err := c.Close(); err != nil && !s.closed {
			s.Errorf("%s: Close: %v", s.name, err)
		}
	}
	s.done++
	s.begin(task)
}
