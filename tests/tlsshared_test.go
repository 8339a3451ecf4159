package tests

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

// One goroutine reads and one writes a TLS connection over a shared one, at both ends at once.
func TestTLSShared(t *testing.T) {
	server, client := newAuthority(t).configs(t, tls.VersionTLS13)
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		ln := listen(t, l, "tcp", "127.0.0.1:0")
		defer ln.Close()
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
		both := func(c *tls.Conn) {
			defer c.Close()
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				if _, err := c.Write(sent); err != nil {
					t.Errorf("Write: %v", err)
				}
				if err := c.CloseWrite(); err != nil {
					t.Errorf("CloseWrite: %v", err)
				}
			})
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came of %d, %v", len(got), len(sent), err)
			}
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			c, err := ln.Accept()
			if err != nil {
				t.Errorf("Accept: %v", err)
				return
			}
			both(tls.Server(c, server))
		})
		c, err := l.DialContext(t.Context(), "tcp", ln.Addr().String())
		must(t, "Dial", err)
		both(tls.Client(c, client))
	})
}

// A peer that does not read, and then breaks the protocol, has the goroutine that reads wait for a lock that the one that
// writes holds. The loop goes on meanwhile, and the deadline ends both. In two tasks the loop itself would wait for that
// lock, for ever: a tls.Conn is for one task.
func TestTLSSharedBroken(t *testing.T) {
	server, client := newAuthority(t).configs(t, tls.VersionTLS13)
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		ln := listen(t, l, "tcp", "127.0.0.1:0")
		defer ln.Close()
		c, err := net.Dial("tcp", ln.Addr().String())
		must(t, "Dial", err)
		defer c.Close()
		far, err := ln.Accept()
		must(t, "Accept", err)
		s := tls.Server(far, server)
		defer far.Close()
		shaken := make(chan error, 1)
		go func() { shaken <- s.Handshake() }()
		must(t, "the client's handshake", tls.Client(c, client).Handshake())
		must(t, "the server's handshake", <-shaken)

		wrote, read := make(chan error, 1), make(chan error, 1)
		go func() {
			for {
				if _, err := s.Write(make([]byte, 1<<16)); err != nil {
					wrote <- err
					return
				}
			}
		}()
		go func() {
			_, err := io.Copy(io.Discard, s)
			read <- err
		}()
		eventually(t, func() error { // until nothing more goes out
			before := sent(t, l)
			time.Sleep(20 * time.Millisecond)
			if sent(t, l) != before {
				return errors.New("the writer goes on")
			}
			return nil
		})
		must(t, "Write", say(c, "\x17\x03\x03\x00\x20"+"no record that was encrypted so "))
		must(t, "a task meanwhile", inTask(t, l, func(task reactor.Task) error { return task.Sleep(time.Millisecond) }))
		must(t, "SetDeadline", s.SetDeadline(time.Now()))
		var timeout net.Error
		if err := result("writer", wrote); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("Write: %v", err)
		}
		if err := result("reader", read); err == nil {
			t.Error("a broken record is read")
		}
	})
}

// sent is how many bytes l has sent.
func sent(t *testing.T, l *reactor.Loop) uint64 {
	t.Helper()
	answer := make(chan uint64, 1)
	must(t, "Post", l.Post(func() { answer <- l.Stats().Sent }))
	return <-answer
}
