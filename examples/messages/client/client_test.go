package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// TestMessages checks that the server gets two messages, a line each, with the pause between them, and then the end.
func TestMessages(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		const wait = 100 * time.Millisecond
		ln := program.Listen(t)
		p := program.Start(t, "client", "-addr", ln.Addr().String(), "-backend", backend, "-wait", wait.String())
		c := accept(t, ln)
		in := bufio.NewReader(c)
		first, second := receive(t, in), receive(t, in)
		if first.Text != "Hello" || second.Text != "Hello again" || first.User != "client" {
			t.Errorf("the messages are %v and %v", first, second)
		}
		if pause := second.Time.Sub(first.Time); pause < wait {
			t.Errorf("the pause was %v, less than %v", pause, wait)
		}
		if late := time.Since(second.Time); late < 0 || late > program.Patience {
			t.Errorf("the second message was sent %v ago", late)
		}
		if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
			t.Errorf("after two messages came %q, %v", rest, err)
		}
		c.Close()
		stdout, stderr := p.Wait(0)
		program.CheckLines(t, stdout,
			`client: connected to `+regexp.QuoteMeta(ln.Addr().String())+`, backend `+regexp.QuoteMeta(program.NamedBackend(backend)),
			`client: sent "Hello"`, `client: sent "Hello again"`)
		program.CheckLines(t, stderr)
	})
}

// TestServerGone checks that a server that does not wait for both messages is noticed, and at once.
func TestServerGone(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		ln := program.Listen(t)
		p := program.Start(t, "client", "-addr", ln.Addr().String(), "-backend", backend, "-wait", "1h")
		c := accept(t, ln)
		receive(t, bufio.NewReader(c))
		c.Close()
		_, stderr := p.Wait(1)
		program.CheckLines(t, stderr, `client: the server closed the connection early`)
	})
}

// TestSignal checks that a signal ends the pause.
func TestSignal(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		ln := program.Listen(t)
		p := program.Start(t, "client", "-addr", ln.Addr().String(), "-backend", backend, "-wait", "1h")
		c := accept(t, ln)
		receive(t, bufio.NewReader(c))
		p.Signal(syscall.SIGINT)
		_, stderr := p.Wait(1)
		program.CheckLines(t, stderr, `client: interrupt signal received`)
		if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
			t.Errorf("the connection should have ended in good order; it has %q, %v", rest, err)
		}
	})
}

func TestMistakes(t *testing.T) {
	ln := program.Listen(t)
	ln.Close() // so that nobody listens there
	nobody := ln.Addr().String()
	for _, m := range []struct {
		name    string
		args    []string
		status  int
		message string
	}{
		{"nobody there", []string{"-addr", nobody}, 1, `dial tcp ` + regexp.QuoteMeta(nobody) + `: connect: connection refused`},
		{"bad address", []string{"-addr", "8888"}, 1, `dial tcp: address 8888: missing port in address`},
		{"unknown backend", []string{"-backend", "kqueue"}, 1, `.*unknown backend "kqueue".*`},
		{"wait without unit", []string{"-wait", "5"}, 2, `invalid value "5" for flag -wait: parse error; -help shows the flags`},
		{"negative wait", []string{"-wait", "-5s"}, 2, `-wait is -5s; it must not be negative; -help shows the flags`},
		{"argument", []string{"8888"}, 2, `unexpected argument "8888"; -help shows the flags`},
	} {
		t.Run(m.name, func(t *testing.T) {
			program.Fails(t, m.status, `client: `+m.message, "client", m.args...)
		})
	}
}

func accept(t *testing.T, ln *net.TCPListener) net.Conn {
	t.Helper()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(program.Patience))
	return c
}

// receive reads a line, which must be a message.
func receive(t *testing.T, in *bufio.Reader) message {
	t.Helper()
	line, err := in.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]string
	if err := json.Unmarshal(line, &fields); err != nil || len(fields) != 3 {
		t.Fatalf("not a message: %q, %v", line, err)
	}
	sent, err := time.Parse(time.RFC3339Nano, fields["send_time"])
	if err != nil {
		t.Fatal(err)
	}
	return message{fields["send_user"], sent, fields["send_msg"]}
}
