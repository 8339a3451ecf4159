package main

import (
	"errors"
	"io"
	"net"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// start starts a proxy to an address and returns where it listens.
func start(t *testing.T, backend, to string, args ...string) (*program.Process, string) {
	t.Helper()
	p := program.Start(t, "proxy", append([]string{"-addr", "127.0.0.1:0", "-to", to, "-backend", backend}, args...)...)
	name := regexp.QuoteMeta(program.NamedBackend(backend))
	if backend == "auto" {
		name = ".+"
	}
	return p, p.Stdout(`^proxy: listening on (127\.0\.0\.1:\d+), connecting to ` + regexp.QuoteMeta(to) + `, backend ` +
		name + `, loops \d+$`)[1]
}

// behind accepts the connection that a dialed one makes the proxy make.
func behind(t *testing.T, ln *net.TCPListener) *net.TCPConn {
	t.Helper()
	c, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(program.Patience))
	return c
}

// pass checks that what goes in on one side comes out on the other.
func pass(t *testing.T, from, to net.Conn, size int) {
	t.Helper()
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(i * i >> 8)
	}
	go from.Write(sent)
	got := make([]byte, size)
	if n, err := io.ReadFull(to, got); err != nil || string(got) != string(sent) {
		t.Errorf("of %d bytes %d came, or others: %v", size, n, err)
	}
}

// TestProxy checks that everything passes in both directions, and the end of each by itself.
func TestProxy(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		ln := program.Listen(t)
		p, addr := start(t, backend, ln.Addr().String(), "-loops", "2")
		p.CheckDescriptors(func() {
			for i := range 4 {
				front := program.Dial(t, addr)
				back := behind(t, ln)
				for _, size := range []int{1, 1000, 1 << 20} {
					pass(t, front, back, size)
					pass(t, back, front, size)
				}
				first, second := front, back
				if i%2 == 1 {
					first, second = back, front
				}
				first.CloseWrite()
				if n, err := second.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("after the end of one direction: %d, %v", n, err)
				}
				pass(t, second, first, 100) // the other goes on
				second.CloseWrite()
				if n, err := first.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("after the end of the other: %d, %v", n, err)
				}
				first.Close()
				second.Close()
			}
		})
		p.Signal(syscall.SIGTERM)
		p.Wait(0)
	})
}

// TestReset checks that a connection that is reset on one side ends on the other.
func TestReset(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		ln := program.Listen(t)
		p, addr := start(t, backend, ln.Addr().String())
		p.CheckDescriptors(func() {
			for i := range 4 {
				front := program.Dial(t, addr)
				back := behind(t, ln)
				pass(t, front, back, 10)
				first, second := front, back
				if i%2 == 1 {
					first, second = back, front
				}
				first.SetLinger(0)
				first.Close()
				if n, err := second.Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes from nowhere", n)
				}
				second.Close()
			}
		})
	})
}

// TestCannotConnect checks that the client is told, by a reset, and the log.
func TestCannotConnect(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		ln := program.Listen(t)
		to := ln.Addr().String()
		ln.Close()
		p, addr := start(t, backend, to)
		c, err := net.DialTimeout("tcp", addr, program.Patience)
		if err == nil { // else the reset came before that returned
			c.SetDeadline(time.Now().Add(program.Patience))
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client sees %v", err)
		}
		p.Stderr(`^proxy: dial tcp ` + regexp.QuoteMeta(to) + `: connect: connection refused$`)
	})
}

// TestConnectTimeout checks that connecting ends in time, and that the client is told.
func TestConnectTimeout(t *testing.T) {
	full := program.Full(t)
	program.Backends(t, func(t *testing.T, backend string) {
		p, addr := start(t, backend, full, "-connect-timeout", "100ms")
		c := program.Dial(t, addr)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client sees %v", err)
		}
		p.Stderr(`^proxy: dial tcp ` + regexp.QuoteMeta(full) + `: i/o timeout$`)
	})
}

// TestIdle checks that a connection on which nothing passes is closed, and one on which something passes in one
// direction is not.
func TestIdle(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		ln := program.Listen(t)
		_, addr := start(t, backend, ln.Addr().String(), "-idle", "500ms")
		idle := program.Dial(t, addr)
		pass(t, idle, behind(t, ln), 10)
		front := program.Dial(t, addr)
		back := behind(t, ln)
		for begin := time.Now(); time.Since(begin) < 700*time.Millisecond; time.Sleep(20 * time.Millisecond) {
			pass(t, back, front, 10)
		}
		pass(t, front, back, 10)
		if n, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the idle one should have ended: %d, %v", n, err)
		}
	})
}

// TestMistakes checks that each is told in one line.
func TestMistakes(t *testing.T) {
	for pattern, args := range map[string][]string{
		`proxy: -to is missing; it is where to connect to, host:port; -help shows the flags`:    nil,
		`proxy: -to: address x: missing port in address; -help shows the flags`:                 {"-to", "x"},
		`proxy: -connect-timeout is 0s; it must be positive; -help shows the flags`:             {"-to", "x:1", "-connect-timeout", "0"},
		`proxy: -idle is -1s and -drain is 2s; neither must be negative; -help shows the flags`: {"-to", "x:1", "-idle", "-1s"},
		`proxy: -loops is 0; it must be from 1 to 1024; -help shows the flags`:                  {"-to", "x:1", "-loops", "0"},
	} {
		program.Fails(t, 2, pattern, "proxy", args...)
	}
}

// TestSlowReader checks that a side which takes nothing makes the other wait, and that the proxy's memory stays bounded.
func TestSlowReader(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		ln := program.Listen(t)
		p, addr := start(t, backend, ln.Addr().String())
		front := program.Dial(t, addr)
		back := behind(t, ln)
		pass(t, front, back, 1<<20)
		before := p.Memory()
		sent, chunk := 0, make([]byte, 1<<20)
		for {
			front.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := front.Write(chunk)
			if sent += n; err != nil {
				break
			}
			if sent > 1<<30 {
				t.Fatal("the proxy takes any amount of what nobody reads")
			}
		}
		if grown := p.Memory() - before; grown > 8<<20 {
			t.Errorf("of %d bytes that nobody reads the proxy holds %d", sent, grown)
		}
		got, err := io.CopyN(io.Discard, back, int64(sent))
		if err != nil {
			t.Errorf("%d bytes came, of %d: %v", got, sent, err)
		}
	})
}
