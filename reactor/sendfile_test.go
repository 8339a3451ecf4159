package reactor

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
)

// fileOf is a file with those bytes, at its start.
func fileOf(t testing.TB, data []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, "WriteFile", os.WriteFile(path, data, 0o600))
	f, err := os.Open(path)
	must(t, "Open", err)
	t.Cleanup(func() { f.Close() })
	return f
}

// position is where a file would be read next.
func position(t testing.TB, f *os.File) int {
	t.Helper()
	at, err := f.Seek(0, io.SeekCurrent)
	must(t, "Seek", err)
	return int(at)
}

// io.Copy and io.CopyN from a file send it from its position on, and move that; what was written before comes before.
func TestSendFile(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		want := pattern(3 << 20)
		f := fileOf(t, want)
		run(t, name, func(task Task) {
			c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			done := make(chan []byte, 1)
			go func() {
				got, _ := io.ReadAll(peer)
				done <- got
			}()
			sent := 0
			for _, n := range []int{10, 0, directSize, 100_000, 1_000_000} {
				if n, err := c.Write([]byte("head")); n != 4 || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
				if moved, err := io.CopyN(c, f, int64(n)); int(moved) != n || err != nil {
					t.Errorf("CopyN of %d: %d, %v", n, moved, err)
				}
				if sent += n; position(t, f) != sent {
					t.Errorf("the file's position is %d, want %d", position(t, f), sent)
				}
			}
			n, err := io.Copy(c, f)
			if int(n) != len(want)-sent || err != nil || position(t, f) != len(want) {
				t.Errorf("Copy of the rest: %d, %v, position %d; want %d", n, err, position(t, f), len(want)-sent)
			}
			if n, err := io.Copy(c, f); n != 0 || err != nil {
				t.Errorf("Copy at the end: %d, %v", n, err)
			}
			if n, err := io.CopyN(c, f, 1); n != 0 || err != io.EOF {
				t.Errorf("CopyN at the end: %d, %v", n, err)
			}
			must(t, "Close", c.Close())
			got := received(t, task, done)
			var all []byte
			at := 0
			for _, n := range []int{10, 0, directSize, 100_000, 1_000_000} {
				all = append(append(all, "head"...), want[at:at+n]...)
				at += n
			}
			same(t, "what came", got, append(all, want[at:]...))
			spy := spyOn(task.Loop())
			spy.counts(func() {
				if spy.asked[backend.SendFile] != 4 {
					t.Errorf("%d parts were sent from the file, want 4", spy.asked[backend.SendFile])
				}
			})
		})
	})
}

// Sending a file that is cut short says how much was sent, by the file's position too, and leaves the connection usable.
func TestSendFileCutShort(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		want := pattern(8 << 20)
		f := fileOf(t, want)
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			c.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
			n, err := io.Copy(c, f)
			wantErr(t, "Copy", err, ErrDeadline)
			if n <= 0 || int(n) >= len(want) || position(t, f) != int(n) {
				t.Errorf("%d bytes were sent, the file's position is %d", n, position(t, f))
			}
			c.SetWriteDeadline(time.Time{})
			var err2 error
			child := task.Go(func(Task) error {
				var more int64
				more, err2 = io.Copy(c, f)
				n += more
				return nil
			})
			task.Sleep(5 * time.Millisecond)
			child.Cancel()
			when(t, task, "the child has ended", child.Done)
			wantErr(t, "Copy", err2, ErrCanceled)
			if position(t, f) != int(n) {
				t.Errorf("%d bytes were sent, the file's position is %d", n, position(t, f))
			}
			done := make(chan []byte, 1)
			go func() {
				got, _ := io.ReadAll(peer)
				done <- got
			}()
			if _, err := c.Write([]byte("on")); err != nil {
				t.Error(err)
			}
			must(t, "Close", c.Close())
			got := received(t, task, done)
			same(t, "what came", got, append(append([]byte(nil), want[:n]...), "on"...))
		})
	})
}

// What is no regular file is read like any reader; a connection or a file that is gone is told.
func TestSendFileErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		f := fileOf(t, pattern(1<<20))
		run(t, name, func(task Task) {
			c, peer := peered(t, task, full, "127.0.0.1:0")
			r, w, err := os.Pipe()
			must(t, "Pipe", err)
			defer r.Close()
			w.Write([]byte("piped"))
			w.Close()
			if n, err := io.Copy(c, r); n != 5 || err != nil {
				t.Errorf("Copy of a pipe: %d, %v", n, err)
			}
			must(t, "Flush", c.Flush())
			var got [5]byte
			if _, err := io.ReadFull(peer, got[:]); err != nil || string(got[:]) != "piped" {
				t.Errorf("it brought %q, %v", got, err)
			}
			peer.SetLinger(0)
			peer.Close()
			_, err = io.Copy(c, f)
			if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("Copy to a peer that is gone: %v", err)
			}
			c.Close()
			_, err = io.Copy(c, f)
			wantOpError(t, "Copy to a closed connection", err, "write", ErrClosed)
			f.Close()
			if _, err := io.Copy(c, f); err == nil {
				t.Error("a file that is closed gives no error")
			}
		})
	})
}
