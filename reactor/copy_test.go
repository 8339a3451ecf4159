package reactor

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
)

// io.Copy between two connections passes everything on, in both directions, and the end of each.
func TestCopyProxies(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		back := start(t, name, Serve, echo)
		front := start(t, name, Serve, func(in Conn) error {
			out, err := Dial(in.Task(), "tcp", back.address)
			if err != nil {
				return err
			}
			defer out.Close()
			in.Task().Go(func(Task) error {
				io.Copy(out, in)
				return out.CloseWrite()
			})
			n, err := io.Copy(in, out)
			if err == nil && n != 3+1<<20 {
				t.Errorf("it has copied %d bytes", n)
			}
			return err
		})
		c := front.dial(t)
		if got := ask(t, c, "few"); got != "few" {
			t.Errorf("got %q", got)
		}
		sent := pattern(1 << 20)
		go func() {
			c.Write(sent)
			c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		must(t, "ReadAll", err)
		same(t, "what came back", got, sent)
		must(t, "front", front.stop(t))
		must(t, "back", back.stop(t))
	})
}

// Errors on either side end the copying, with what was copied by then.
func TestCopyErrors(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			n, err := io.Copy(a, iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc"))))
			if n != 1 || err != iotest.ErrTimeout {
				t.Errorf("from a reader that fails: %d, %v", n, err)
			}
			must(t, "CloseWrite", a.CloseWrite())
			var got bytes.Buffer
			if n, err := io.Copy(&got, b); n != 1 || err != nil || got.String() != "a" {
				t.Errorf("to a buffer: %d, %v, %q", n, err, got.String())
			}
			if _, err := b.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			must(t, "Flush", b.Flush())
			near, far := net.Pipe()
			far.Close()
			if n, err := io.Copy(near, a); n != 0 || err != io.ErrClosedPipe {
				t.Errorf("to a writer that fails: %d, %v", n, err)
			}
			a.Close()
			b.Close()
			if _, err := io.Copy(io.Discard, a); err == nil {
				t.Error("from a connection that is closed there is no error")
			}
		})
	})
}
