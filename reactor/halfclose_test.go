package reactor

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// After CloseWrite the peer reads the end, after all that was written; reading goes on.
func TestCloseWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			question, answer := pattern(50_000), pattern(70_000)
			done := make(chan struct{})
			go func() {
				defer close(done)
				got, err := io.ReadAll(peer)
				if err != nil {
					t.Errorf("the peer: %v", err)
				}
				same(t, "the question", got, question)
				if _, err := peer.Write(answer); err != nil {
					t.Errorf("the peer: %v", err)
				}
				peer.Close()
			}()
			for rest := question; len(rest) > 0; rest = rest[500:] {
				c.Write(rest[:500])
			}
			must(t, "CloseWrite", c.CloseWrite())
			got, err := io.ReadAll(c)
			must(t, "ReadAll", err)
			same(t, "the answer", got, answer)
			must(t, "Close", c.Close())
			off(t, task, func() { <-done })
		})
	})
}

// The other way round: the peer has closed its side, and takes what is written.
func TestPeerClosesWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			peer.Write([]byte("question"))
			peer.CloseWrite()
			got, err := io.ReadAll(c)
			must(t, "ReadAll", err)
			same(t, "the question", got, []byte("question"))
			answer := pattern(200_000)
			done := make(chan struct{})
			go func() {
				defer close(done)
				got, err := io.ReadAll(peer)
				if err != nil {
					t.Errorf("the peer: %v", err)
				}
				same(t, "the answer", got, answer)
			}()
			if n, err := c.Write(answer); n != len(answer) || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			must(t, "Close", c.Close())
			off(t, task, func() { <-done })
		})
	})
}

// Nothing can be written after CloseWrite.
func TestWriteAfterCloseWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			a.Write([]byte("last"))
			must(t, "CloseWrite", a.CloseWrite())
			for what, write := range map[string]func() error{
				"Write":       func() error { _, err := a.Write([]byte("x")); return err },
				"large Write": func() error { _, err := a.Write(make([]byte, directSize)); return err },
				"Writev":      func() error { _, err := a.Writev([][]byte{[]byte("x")}); return err },
			} {
				if err := write(); err == nil {
					t.Errorf("%s after CloseWrite is no error", what)
				} else {
					wantOpError(t, what, err, "write", unix.EPIPE)
				}
			}
			must(t, "CloseWrite, again", a.CloseWrite())
			got, err := io.ReadAll(b)
			must(t, "ReadAll", err)
			same(t, "what was written", got, []byte("last"))
			must(t, "CloseWrite", b.CloseWrite())
			if _, err := a.Next(); err != io.EOF {
				t.Errorf("Next: %v", err)
			}
			must(t, "Close", a.Close())
			must(t, "Close", b.Close())
		})
	})
}
