package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

const ended = `echo: ended after [0-9.]+m?s, connections %d, bytes %d`

// TestEcho checks the first line, what comes back, and the summary.
func TestEcho(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		for i, host := range program.Hosts() {
			p := program.Start(t, "echo", "-addr", host+":0", "-backend", backend, "-mode", []string{"task", "handler"}[i%2])
			addr := listening(p, backend, 1)
			if !strings.HasPrefix(addr, host+":") || strings.HasSuffix(addr, ":0") {
				t.Errorf("the program says that it listens on %s", addr)
			}
			exchange(t, addr, 100)
			exchange(t, addr, 1<<20)
			stop := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[i%2]
			p.Signal(stop)
			checkEnd(t, p, fmt.Sprintf(ended, 2, 100+1<<20))
		}
	})
}

// TestDescriptors checks that connections leave nothing behind, whichever side ends them, and how.
func TestDescriptors(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		p := program.Start(t, "echo", "-addr", "127.0.0.1:0", "-backend", backend)
		addr := listening(p, backend, 1)
		exchange(t, addr, 100)
		p.CheckDescriptors(func() {
			for range 30 {
				exchange(t, addr, 1000)
				c := program.Dial(t, addr)
				c.Write(make([]byte, 1000))
				c.SetLinger(0) // a reset
				c.Close()
			}
		})
	})
}

// TestLoops checks that several loops serve one address.
func TestLoops(t *testing.T) {
	p := program.Start(t, "echo", "-addr", "127.0.0.1:0", "-loops", "3")
	addr := listening(p, "", 3)
	for range 20 {
		exchange(t, addr, 1000)
	}
	p.Signal(syscall.SIGTERM)
	checkEnd(t, p, fmt.Sprintf(ended, 20, 20_000))
}

// TestDrains checks that connections go on after SIGTERM, until they end, and that no new one is accepted.
func TestDrains(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		for _, mode := range []string{"task", "handler"} {
			p := program.Start(t, "echo", "-addr", "127.0.0.1:0", "-backend", backend, "-mode", mode, "-drain", "1m")
			addr := listening(p, backend, 1)
			c := program.Dial(t, addr)
			talk(t, c, 100)
			p.Signal(syscall.SIGTERM)
			program.Eventually(t, func() error {
				late, err := net.Dial("tcp", addr)
				if err != nil {
					return nil
				}
				late.Close()
				return errors.New("it still accepts")
			})
			talk(t, c, 1000)
			if !p.Running() {
				t.Error("it has ended before its connection")
			}
			c.Close()
			stdout, stderr := p.Wait(0)
			if !strings.Contains(stdout, "bytes 1100\n") || stderr != "" {
				t.Errorf("stdout %q, stderr %q", stdout, stderr)
			}
		}
	})
}

// TestEndsWhileConnected checks that a connection that is open does not keep the program from ending for long.
func TestEndsWhileConnected(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		for drain, more := range map[string][]string{"0s": nil, "10ms": {`echo: 1 connections were open after 10ms`}} {
			p := program.Start(t, "echo", "-addr", "127.0.0.1:0", "-backend", backend, "-drain", drain)
			c := program.Dial(t, listening(p, backend, 1))
			talk(t, c, 100)
			p.Signal(syscall.SIGTERM)
			if n, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the connection should have ended; Read: %d, %v", n, err)
			}
			checkEnd(t, p, append(more, fmt.Sprintf(ended, 1, 100))...)
		}
	})
}

// TestIdle checks that a connection that says nothing is closed in time, and one that talks is not.
func TestIdle(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		for _, mode := range []string{"task", "handler"} {
			p := program.Start(t, "echo", "-addr", "127.0.0.1:0", "-backend", backend, "-mode", mode, "-idle", "500ms")
			addr := listening(p, backend, 1)
			idle, busy := program.Dial(t, addr), program.Dial(t, addr)
			talk(t, idle, 10)
			talk(t, busy, 10)
			for begin := time.Now(); time.Since(begin) < 700*time.Millisecond; time.Sleep(20 * time.Millisecond) {
				talk(t, busy, 10)
			}
			if n, err := idle.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("%s: the idle connection should have ended; Read: %d, %v", mode, n, err)
			}
		}
	})
}

// TestTLS checks that it talks TLS, to the end: a close_notify.
func TestTLS(t *testing.T) {
	cert, key, roots := program.Certificate(t)
	program.Backends(t, func(t *testing.T, backend string) {
		p := program.Start(t, "echo", "-addr", "127.0.0.1:0", "-backend", backend, "-tls-cert", cert, "-tls-key", key, "-idle", "1m")
		addr := listening(p, backend, 1)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			c := tls.Client(program.Dial(t, addr), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: version, MaxVersion: version})
			for _, n := range []int{1, 16 << 10, 16<<10 + 1, 1 << 20} {
				talk(t, c, n)
			}
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if n, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after close_notify: %d, %v", n, err)
			}
		}
		plain := program.Dial(t, addr)
		plain.Write(make([]byte, 1000)) // is no handshake
		if got, err := io.ReadAll(plain); len(got) > 100 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("to nonsense it says %d bytes, then %v", len(got), err)
		}
	})
}

// TestSecondSignal checks that a second signal ends a program that has something left to send, to a peer that does not
// read. The first lets it try for 5 s.
func TestSecondSignal(t *testing.T) {
	p := program.Start(t, "echo", "-addr", "127.0.0.1:0")
	c := program.Dial(t, listening(p, "", 1))
	for err := error(nil); err == nil; time.Sleep(time.Millisecond) { // until every buffer on the way is full
		c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = c.Write(make([]byte, 8000)) // what is small, and alone, the program gathers, and so has it left
	}
	for begin := time.Now(); p.Running(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 3*time.Second {
			t.Fatal("the program goes on after many signals")
		}
		p.Signal(syscall.SIGTERM)
	}
}

func TestMistakes(t *testing.T) {
	busy := program.Listen(t).Addr().String()
	for _, m := range []struct {
		name    string
		args    []string
		status  int
		message string
	}{
		{"busy port", []string{"-addr", busy}, 1, `listen tcp ` + regexp.QuoteMeta(busy) + `: bind: address already in use`},
		{"busy port, loops", []string{"-addr", busy, "-loops", "2"}, 1, `listen tcp .*: address already in use`},
		{"no port", []string{"-addr", "127.0.0.1"}, 1, `listen tcp: address 127\.0\.0\.1: missing port in address`},
		{"port too large", []string{"-addr", "127.0.0.1:65536"}, 1, `listen tcp: .*65536.*`},
		{"no number", []string{"-addr", "127.0.0.1:no-such-port"}, 1, `listen tcp: .*no-such-port.*`},
		{"IPv6 without brackets", []string{"-addr", "::1:8888"}, 1, `listen tcp: address ::1:8888: too many colons in address`},
		{"empty address", []string{"-addr", ""}, 2, `-addr is empty; it must be host:port; -help shows the flags`},
		{"another machine's address", []string{"-addr", "192.0.2.1:0"}, 1, `listen tcp 192\.0\.2\.1:0: .*cannot assign requested address`},
		{"unknown backend", []string{"-backend", "kqueue"}, 1, `.*unknown backend "kqueue".*known here: auto, .*select.*`},
		{"unknown rung", []string{"-backend", "select:fast"}, 1, `.*unknown backend "select:fast".*`},
		{"unknown backend in the environment", []string{"EYEWALL_BACKEND=kqueue", "-addr", "127.0.0.1:0"}, 1, `.*unknown backend "kqueue".*`},
		{"no loops", []string{"-loops", "0"}, 2, `-loops is 0; it must be from 1 to 1024; -help shows the flags`},
		{"too many loops", []string{"-loops", "1025"}, 2, `-loops is 1025; it must be from 1 to 1024; -help shows the flags`},
		{"loops not a number", []string{"-loops", "two"}, 2, `invalid value "two" for flag -loops: parse error; -help shows the flags`},
		{"unknown flag", []string{"-port", "1"}, 2, `flag provided but not defined: -port; -help shows the flags`},
		{"argument", []string{"-loops", "1", "8888"}, 2, `unexpected argument "8888"; -help shows the flags`},
		{"no value", []string{"-addr"}, 2, `flag needs an argument: -addr; -help shows the flags`},
	} {
		t.Run(m.name, func(t *testing.T) {
			program.Fails(t, m.status, `echo: `+m.message, "echo", m.args...)
		})
	}
}

// TestDenied checks that a backend that this system denies, all rungs of it, gets one line.
func TestDenied(t *testing.T) {
	seen := make(map[string]bool) // for a name may have several rungs
	for _, d := range backend.Drivers() {
		b, _, err := backend.Open(d.Name, backend.Config{})
		if err == nil {
			b.Close()
		}
		if err == nil || seen[d.Name] {
			continue
		}
		seen[d.Name] = true
		t.Run(d.Name, func(t *testing.T) {
			program.Fails(t, 1, `echo: .*cannot open "`+d.Name+`": .*`, "echo", "-addr", "127.0.0.1:0", "-backend", d.Name)
		})
	}
}

func TestHelp(t *testing.T) {
	stdout, stderr := program.Start(t, "echo", "-help").Wait(0)
	for _, want := range []string{"Usage of echo:\n", "-addr host:port", `(default "127.0.0.1:8888")`, "-backend name", `(default "auto")`, "-loops int", "(default 1)"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("help does not contain %q:\n%s", want, stdout)
		}
	}
	program.CheckLines(t, stderr)
}

// TestEnvironment checks that EYEWALL_BACKEND chooses where no flag does.
func TestEnvironment(t *testing.T) {
	p := program.Start(t, "echo", "EYEWALL_BACKEND=select", "-addr", "127.0.0.1:0")
	exchange(t, listening(p, "select", 1), 100)
	p.Signal(syscall.SIGTERM)
	p.Wait(0)
}

// listening returns the address in the first line, which must name the backend; an empty one is any.
func listening(p *program.Process, backend string, loops int) string {
	name := regexp.QuoteMeta(program.NamedBackend(backend))
	if backend == "" {
		name = `.+`
	}
	return p.Stdout(fmt.Sprintf(`\Aecho: listening on (\S+:\d+), backend %s, loops %d$`, name, loops))[1]
}

// checkEnd waits for the end, which is to come with status 0, a summary and no error.
func checkEnd(t *testing.T, p *program.Process, last ...string) {
	t.Helper()
	stdout, stderr := p.Wait(0)
	program.CheckLines(t, stdout, append([]string{`echo: listening on .*`}, last...)...)
	program.CheckLines(t, stderr)
}

// exchange sends size bytes over a connection of its own, checks that they and nothing else come back, and ends it.
func exchange(t *testing.T, addr string, size int) {
	t.Helper()
	c := program.Dial(t, addr)
	talk(t, c, size)
	c.CloseWrite()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("after the last byte Read returned %d, %v", n, err)
	}
	c.Close()
}

// talk sends size bytes and checks that they come back.
func talk(t *testing.T, c net.Conn, size int) {
	t.Helper()
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(i * i >> 8)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		failed <- err
	}()
	got := make([]byte, size)
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("%d of %d bytes came back: %v", n, size, err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent, got) {
		t.Fatalf("other bytes came back than the %d that were sent", size)
	}
}
