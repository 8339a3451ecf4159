package reactor

import (
	"io"
	"testing"
)

// A handler that reads all there is, just when too much was there, is called for what comes after: the receive that was
// canceled begins again, though nobody waits for it.
func TestHandleAfterPause(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		paused, total := false, 0
		const size = 4 * maxUnread
		buf := make([]byte, size)
		s := start(t, name, Handle, func(c Conn) error {
			for !paused && !c.c.pausing {
				if err := c.Task().Yield(); err != nil {
					return err
				}
			}
			paused = true
			n, err := c.Read(buf)
			if total += n; total == size {
				_, err = c.Write([]byte("all"))
			}
			return err
		})
		conn := s.dial(t)
		go conn.Write(make([]byte, size))
		var answer [3]byte
		if _, err := io.ReadFull(conn, answer[:]); err != nil || string(answer[:]) != "all" {
			t.Errorf("the answer is %q, %v", answer, err)
		}
		must(t, "Handle", s.stop(t))
		if !paused || total != size {
			t.Errorf("it has received %d of %d bytes; too much at once: %v", total, size, paused)
		}
	})
}
