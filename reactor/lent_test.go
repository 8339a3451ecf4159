package reactor

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Release gives back what Next has lent, once, and nothing else.
func TestRelease(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		debugged(t, name, -1, func(task Task, _ *reports) {
			a, b := pair(t, task)
			lent := func() int { return outstanding(task.Loop()) }
			b.Release() // nothing is lent
			Conn{}.Release()
			for range 3 {
				must(t, "Write", writeAll(a, "message"))
				data, err := b.Next()
				must(t, "Next", err)
				if s := task.Loop().Stats(); lent() != 1 || s.Held != 1 {
					t.Errorf("%d buffers are lent, and %d are held", lent(), s.Held)
				}
				b.Release()
				if s := task.Loop().Stats(); lent() != 0 || s.Held != 0 {
					t.Errorf("%d buffers are lent, and %d are held after Release", lent(), s.Held)
				}
				same(t, "what was lent", data, bytes.Repeat([]byte{poison}, len(data)))
				b.Release()
			}
			must(t, "Write", writeAll(a, "the first"))
			when(t, task, "it has come", func() bool { return b.c.in != nil })
			b.Release() // what is unread stays
			data, err := b.Next()
			must(t, "Next", err)
			same(t, "what came", data, []byte("the first"))
			old := b
			b.Close()
			old.Release()
			a.Close()
		})
	})
}

func writeAll(c Conn, text string) error {
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	return c.Flush()
}

// What is lent as a copy is given back, too.
func TestReleaseOfCopy(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			for range 3 {
				must(t, "Write", writeAll(a, "message"))
				_, err := b.Next()
				must(t, "Next", err)
				if s := task.Loop().Stats(); outstanding(task.Loop()) != 0 || s.Held != 0 || s.Kept < len("message") {
					t.Errorf("%d buffers are held, and %d bytes are kept", s.Held, s.Kept)
				}
				b.Release()
				if s := task.Loop().Stats(); s.Kept != 0 {
					t.Errorf("%d bytes are kept after Release", s.Kept)
				}
			}
			if n := task.Loop().Stats().Copies; n != 3 {
				t.Errorf("%d copies were lent, want 3", n)
			}
			a.Close()
			b.Close()
		}, WithConfig(backend.Config{BufferCount: 2}))
	})
}

// Debug mode reports, once a second at most, that tasks hold too many receive buffers, with the one that has held some
// for longest.
func TestDebugBuffersHeld(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		found := new(reports)
		run(t, name, func(task Task) {
			var list []Task
			let := false
			for i := range 8 {
				a, b := pair(t, task)
				must(t, "Write", writeAll(a, "message"))
				held := false
				holder := task.Go(func(task Task) error {
					defer a.Close()
					defer b.Close()
					if _, err := b.Next(); err != nil {
						return err
					}
					held = true
					for !let {
						must(t, "Sleep", task.Sleep(time.Millisecond))
					}
					return nil
				})
				if i == 0 {
					holder.SetName("the longest")
				}
				list = append(list, holder)
				when(t, task, "it holds some", func() bool { return held })
				if n := len(found.of(BuffersHeld)); i < 2 && n > 0 {
					t.Errorf("it is reported when %d hold some", i+1)
				}
			}
			d := task.Loop().debug
			reported := found.of(BuffersHeld)
			if len(reported) == 0 || time.Since(d.short) < shortEvery && len(reported) != 1 {
				t.Fatalf("it is reported %d times", len(reported))
			}
			for _, want := range []string{"2 of 8 receive buffers", "Conn.Release"} {
				if r := reported[0]; !strings.Contains(r.Text, want) || r.Task != "the longest" || !strings.Contains(r.Stack, "TestDebugBuffersHeld") {
					t.Errorf("the report does not tell %q: %+v", want, r)
				}
			}
			d.short = d.short.Add(-shortEvery)
			d.runsShort()
			if n := len(found.of(BuffersHeld)); n != len(reported)+1 {
				t.Errorf("it is reported %d times, want once more than %d", n, len(reported))
			}
			let = true
			for _, holder := range list {
				when(t, task, "it has ended", holder.Done)
			}
			d.short = time.Time{}
			d.runsShort()
			if n := len(found.of(BuffersHeld)); n != len(reported)+1 || len(d.holders) != 0 {
				t.Errorf("it is reported though nobody holds any; %d are known", len(d.holders))
			}
		}, WithConfig(backend.Config{BufferCount: 8}), WithDebug(Debug{Hold: -1, Report: found.add}))
	})
}
