package reactor

import (
	"io"
	"testing"
	"time"
)

// spliceInVain has a child take what has come on from, which it cannot send on, and cancels it when do has been called.
func spliceInVain(t testing.TB, task Task, from Conn, do func()) {
	t.Helper()
	to, sink := peered(t, task, full, "127.0.0.1:0")
	fill(t, task, to)
	child := task.Go(func(Task) error {
		from.Write([]byte("splice")) // which goes out when it waits
		_, err := from.Splice(to)
		wantErr(t, "Splice", err, ErrCanceled)
		return nil
	})
	when(t, task, "the child has something to send on", func() bool { return to.c.out != nil && !to.c.out.writers.empty() })
	do()
	child.Cancel()
	when(t, task, "the child has ended", child.Done)
	sink.Close() // a reset, so that nothing is left to be sent
	to.Close()
}

// What a splice puts back goes to whoever waits for the connection, also where nothing more comes.
func TestSplicePutsBackForReaders(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			from, source := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			message := pattern(12_000)
			go func() {
				io.ReadFull(source, make([]byte, len("splice")))
				source.Write(message)
			}()
			var got []byte
			var reader Task
			spliceInVain(t, task, from, func() {
				reader = task.Go(func(Task) error {
					for len(got) < len(message) {
						data, err := from.Next()
						must(t, "Next", err)
						got = append(got, data...)
					}
					return nil
				})
				when(t, task, "the other waits", func() bool { return !from.c.readers.empty() })
			})
			when(t, task, "the other has read", reader.Done)
			same(t, "what it has read", got, message)
			from.Close()
		})
	})
}

// It is something to call the handler for, too.
func TestSplicePutsBackForHandler(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		s := start(t, name, Handle, func(c Conn) error {
			data, err := c.Next()
			if err != nil {
				return err
			}
			if string(data) == "splice" {
				c.Task().Go(func(task Task) error {
					spliceInVain(t, task, c, func() {})
					return nil
				})
				return nil
			}
			_, err = c.Write(data)
			return err
		})
		c := s.dial(t)
		for range 3 {
			ask(t, c, "splice")
			message := pattern(12_000)
			same(t, "the answer", []byte(ask(t, c, string(message))), message)
		}
		must(t, "Handle", s.stop(t))
	})
}

// A connection that becomes a shared one meanwhile has it, too.
func TestSplicePutsBackForShared(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			from, source := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			message := pattern(12_000)
			go func() {
				io.ReadFull(source, make([]byte, len("splice")))
				source.Write(message)
			}()
			var shared *SharedConn
			spliceInVain(t, task, from, func() {
				shared = from.Shared()
				shared.SetReadDeadline(time.Now().Add(limit))
			})
			got := make([]byte, len(message))
			off(t, task, func() { io.ReadFull(shared, got) })
			same(t, "what it has read", got, message)
			shared.Close()
		})
	})
}
