package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

const hello = "Hello, world!\n"

// start starts the server on every backend, for test to talk to.
func start(t *testing.T, test func(t *testing.T, p *program.Process, addr string), args ...string) {
	program.Backends(t, func(t *testing.T, backend string) {
		p := program.Start(t, "http", append([]string{"-addr", "127.0.0.1:0", "-backend", backend}, args...)...)
		addr := p.Stdout(`^http: listening on (127\.0\.0\.1:\d+), backend ` +
			regexp.QuoteMeta(program.NamedBackend(backend)) + `, loops \d+$`)[1]
		test(t, p, addr)
		p.Signal(syscall.SIGTERM)
		p.Wait(0)
	})
}

// say sends a request as it stands and reads an answer, which must have that status.
func say(t *testing.T, c net.Conn, request string, status int) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return answered(t, bufio.NewReader(c), status)
}

func answered(t *testing.T, r *bufio.Reader, status int) *http.Response {
	t.Helper()
	a, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != status || status == 200 && string(body) != hello {
		t.Errorf("status %d, body %q, error %v; want status %d", a.StatusCode, body, err, status)
	}
	return a
}

const get = "GET / HTTP/1.1\r\nHost: here\r\n\r\n"

// TestAnswers checks what comes back, for good requests and bad ones.
func TestAnswers(t *testing.T) {
	start(t, func(t *testing.T, p *program.Process, addr string) {
		for request, status := range map[string]int{
			get:                                     200,
			"GET / HTTP/1.0\r\n\r\n":                200,
			"GET /x HTTP/1.1\r\nHost: here\r\n\r\n": 404,
			"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi": 405,
			"nonsense\r\n\r\n": 400,
			"GET / HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n":                    400,
			"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 99999999\r\n\r\n":             400,
			"GET / HTTP/1.1\r\nHost: here\r\nX: " + strings.Repeat("x", 1<<16) + "\r\n\r\n": 431,
		} {
			say(t, program.Dial(t, addr), request, status)
		}
		c := program.Dial(t, addr)
		r := bufio.NewReader(c)
		io.WriteString(c, strings.Repeat(get, 100)) // pipelined
		for range 100 {
			answered(t, r, 200)
		}
		for i := range get { // in two pieces
			io.WriteString(c, get[:i])
			io.WriteString(c, get[i:])
			answered(t, r, 200)
		}
	}, "-loops", "2")
}

// TestLeavesNothing checks that connections that end at any point leave no descriptor.
func TestLeavesNothing(t *testing.T) {
	start(t, func(t *testing.T, p *program.Process, addr string) {
		say(t, program.Dial(t, addr), get, 200)
		time.Sleep(50 * time.Millisecond) // fasthttp's clock begins with the first request; Go's timers have descriptors
		p.CheckDescriptors(func() {
			for i := range get {
				c := program.Dial(t, addr)
				io.WriteString(c, get[:i])
				if i%2 == 0 {
					c.SetLinger(0) // a reset
				}
				c.Close()
			}
			say(t, program.Dial(t, addr), "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n", 200)
		})
	})
}

// TestTLS checks HTTPS with Go's client, and that nonsense in place of a handshake ends the connection.
func TestTLS(t *testing.T) {
	cert, key, roots := program.Certificate(t)
	start(t, func(t *testing.T, p *program.Process, addr string) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		client := &http.Client{Transport: transport, Timeout: program.Patience}
		for range 3 { // over one connection
			a, err := client.Get("https://" + addr)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(a.Body)
			a.Body.Close()
			if err != nil || string(body) != hello || a.TLS.NegotiatedProtocol != "http/1.1" && a.TLS.NegotiatedProtocol != "" {
				t.Errorf("%q, %v, protocol %q", body, err, a.TLS.NegotiatedProtocol)
			}
		}
		transport.CloseIdleConnections()
		c := program.Dial(t, addr)
		io.WriteString(c, get)
		if got, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") || strings.Contains(string(got), hello) {
			t.Errorf("HTTP to HTTPS: %q, %v", got, err)
		}
	}, "-tls-cert", cert, "-tls-key", key)
}

// TestStalls checks that a client which begins something and does not go on is told, or left, in time, whatever it
// began, and that nothing of it stays.
func TestStalls(t *testing.T) {
	cert, key, _ := program.Certificate(t)
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" // how a client's handshake begins
	for what, stall := range map[string]struct {
		said string
		args []string
	}{
		"in the request line": {"GET / HT", nil},
		"in the headers":      {"GET / HTTP/1.1\r\nHost: he", nil},
		"in the body":         {"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nfive", nil},
		"before a handshake":  {"", []string{"-tls-cert", cert, "-tls-key", key}},
		"in a handshake":      {hello, []string{"-tls-cert", cert, "-tls-key", key}},
	} {
		t.Run(what, func(t *testing.T) {
			start(t, func(t *testing.T, p *program.Process, addr string) {
				p.CheckDescriptors(func() {
					var conns []*net.TCPConn
					for range 5 {
						c := program.Dial(t, addr)
						io.WriteString(c, stall.said)
						conns = append(conns, c)
					}
					for _, c := range conns {
						got, err := io.ReadAll(c)
						if err != nil && !errors.Is(err, syscall.ECONNRESET) || strings.Contains(string(got), " 200 ") {
							t.Errorf("it is told %q, %v", got, err)
						}
						c.Close()
					}
				})
			}, append(stall.args, "-timeout", "200ms")...)
		})
	}
}

// TestDrip checks that a client which goes on, but slowly, may not go on for ever.
func TestDrip(t *testing.T) {
	start(t, func(t *testing.T, p *program.Process, addr string) {
		c := program.Dial(t, addr)
		io.WriteString(c, "GET / HTTP/1.1\r\n")
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(c, "X-%d: slow\r\n", i); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}, "-timeout", "200ms")
}

// TestMistakes checks that each is told in one line.
func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		status  int
		pattern string
		args    []string
	}{
		{2, `http: -tls-cert needs -tls-key, too; -help shows the flags`, []string{"-tls-cert", "x"}},
		{2, `http: -tls-key needs -tls-cert, too; -help shows the flags`, []string{"-tls-key", "x"}},
		{2, `http: -tls-cert and -tls-key: open x: no such file or directory; -help shows the flags`, []string{"-tls-cert", "x", "-tls-key", "x"}},
		{2, `http: -loops is 0; it must be from 1 to 1024; -help shows the flags`, []string{"-loops", "0"}},
		{2, `http: -timeout is 0s; it must be positive; -help shows the flags`, []string{"-timeout", "0"}},
		{2, `http: unexpected argument "x"; -help shows the flags`, []string{"x"}},
		{1, `http: listen tcp: address nonsense: missing port in address`, []string{"-addr", "nonsense"}},
	} {
		t.Run(fmt.Sprint(c.args), func(t *testing.T) { program.Fails(t, c.status, c.pattern, "http", c.args...) })
	}
}
