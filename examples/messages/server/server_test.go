package main

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// TestMessages checks what is printed of messages that come whole, in pieces, several at once, and after a pause.
func TestMessages(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		for i, host := range program.Hosts() {
			p, addr := start(t, host, backend)
			c := program.Dial(t, addr)
			from := regexp.QuoteMeta(c.LocalAddr().String())
			p.Stdout(`^Got connection from ` + from + `$`)
			send(t, c, `{"send_user":"ann","send_time":"now","send_msg":"one"}`)
			one := p.Stdout(`^` + from + `: \{"send_user":"ann","send_time":"now","send_msg":"one"\}$`)
			send(t, c, "\n{\"send_user\": \"ann\",\r\n \"send_")
			time.Sleep(20 * time.Millisecond)
			send(t, c, `msg": "zwei\nдва"}`)
			two := p.Stdout(`^` + from + `: \{"send_user":"ann","send_msg":"zwei\\nдва"\}$`)
			send(t, c, "{}\n{}\n{}")
			c.CloseWrite()
			checkClosed(t, c)
			p.Signal([]syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[i%2])
			stdout, stderr := p.Wait(0)
			program.CheckLines(t, stdout, `server: listening on .*`, `Got connection from `+from,
				regexp.QuoteMeta(one[0]), regexp.QuoteMeta(two[0]), from+`: {}`, from+`: {}`, from+`: {}`, ended(1, 5))
			program.CheckLines(t, stderr)
		}
	})
}

// TestSize checks that the longest message is taken, and one that is longer is not.
func TestSize(t *testing.T) {
	p, addr := start(t, "127.0.0.1", "auto")
	c := program.Dial(t, addr)
	longest := `"` + strings.Repeat("x", maxMessage-2) + `"`
	send(t, c, longest)
	send(t, c, longest)
	p.Stdout(longest + "\n.*" + longest)
	send(t, c, longest[:maxMessage-1]+`x"`)
	p.Stderr(`^server: connection from .* closed: a message of more than 65536 bytes$`)
}

// TestBadPeers checks that what one peer does wrong is told and ends its connection, and no other.
func TestBadPeers(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		p, addr := start(t, "127.0.0.1", backend)
		good := program.Dial(t, addr)
		p.Stdout(`^Got connection from`)
		var told []string
		p.CheckDescriptors(func() {
			for _, bad := range []struct{ sends, told string }{
				{"hello\n", `invalid character 'h' looking for beginning of value`},
				{`{"send_msg": "one"}}`, `invalid character '}' looking for beginning of value`},
				{"\x16\x03\x01\x02\x00\x01\x00\x01", `invalid character '\x16' looking for beginning of value`}, // TLS
				{`"` + strings.Repeat("x", 3*maxMessage), `a message of more than 65536 bytes`},
				{strings.Repeat(" ", 3*maxMessage), `a message of more than 65536 bytes`},
				{strings.Repeat("[", 20_000), `invalid character '[' exceeded max depth`},
			} {
				c := program.Dial(t, addr)
				line := `server: connection from ` + regexp.QuoteMeta(c.LocalAddr().String()) + ` closed: ` + regexp.QuoteMeta(bad.told)
				c.Write([]byte(bad.sends)) // may fail: the server need not read all
				checkClosed(t, c)
				p.Stderr(`^` + line + `$`)
				told = append(told, line)
			}
			c := program.Dial(t, addr)
			send(t, c, `{"send_msg": "unfin`)
			c.CloseWrite()
			checkClosed(t, c)
			p.Stderr(`: unexpected EOF$`)
			told = append(told, `server: connection from .* closed: unexpected EOF`)

			silent := program.Dial(t, addr) // which is nobody's mistake
			silent.Close()
			p.Stdout(`^Got connection from ` + regexp.QuoteMeta(silent.LocalAddr().String()) + `$`)

			send(t, good, `{"send_msg": "still here"}`)
			p.Stdout(`: {"send_msg":"still here"}$`)
		})
		p.Signal(syscall.SIGTERM) // while a connection is open, which is no mistake either
		stdout, stderr := p.Wait(0)
		program.CheckLines(t, stderr, told...)
		if !regexp.MustCompile(ended(9, 2) + `\n$`).MatchString(stdout) {
			t.Errorf("the summary should have 9 connections and 2 messages: %q", stdout)
		}
		checkClosed(t, good)
	})
}

func TestMistakes(t *testing.T) {
	busy := program.Listen(t).Addr().String()
	for _, m := range []struct {
		name    string
		args    []string
		status  int
		message string
	}{
		{"busy port", []string{"-addr", busy}, 1, `listen tcp .*: address already in use`},
		{"bad address", []string{"-addr", "8888"}, 1, `listen tcp: address 8888: missing port in address`},
		{"unknown backend", []string{"-backend", "kqueue"}, 1, `.*unknown backend "kqueue".*`},
		{"unknown flag", []string{"-loops", "2"}, 2, `flag provided but not defined: -loops; -help shows the flags`},
		{"argument", []string{"8888"}, 2, `unexpected argument "8888"; -help shows the flags`},
	} {
		t.Run(m.name, func(t *testing.T) {
			program.Fails(t, m.status, `server: `+m.message, "server", m.args...)
		})
	}
}

// start starts the server and returns where it listens.
func start(t *testing.T, host, backend string) (*program.Process, string) {
	t.Helper()
	p := program.Start(t, "server", "-addr", host+":0", "-backend", backend)
	name := regexp.QuoteMeta(program.NamedBackend(backend))
	if backend == "auto" {
		name = `.+`
	}
	return p, p.Stdout(`\Aserver: listening on (\S+:\d+), backend ` + name + `$`)[1]
}

// ended is the pattern of the summary.
func ended(connections, messages int) string {
	return fmt.Sprintf(`server: ended after [0-9.]+m?s, connections %d, messages %d`, connections, messages)
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// checkClosed waits until the server has closed the connection. Where it did so before it had read all, that is a reset.
func checkClosed(t *testing.T, c net.Conn) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	if timeout, ok := err.(net.Error); n > 0 || ok && timeout.Timeout() {
		t.Fatalf("the server should close the connection; Read: %d, %v", n, err)
	}
}
