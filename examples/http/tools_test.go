package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/eyewall/eyewall/examples/internal/program"
)

// TestCurl has curl ask twice over one connection, over TLS, and for what is not there.
func TestCurl(t *testing.T) {
	start(t, func(t *testing.T, p *program.Process, addr string) {
		out, said := program.Tool(t, nil, "curl", "-sSv", "--max-time", "20", "http://"+addr, "http://"+addr)
		if out != hello+hello || !strings.Contains(said, "Re-using existing connection") {
			t.Errorf("%q; of the way there it says\n%s", out, said)
		}
		out, _ = program.Tool(t, nil, "curl", "-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", "http://"+addr+"/x")
		if out != "404" {
			t.Errorf("for what is not there the status is %q", out)
		}
	})
	cert, key, _ := program.Certificate(t)
	start(t, func(t *testing.T, p *program.Process, addr string) {
		out, _ := program.Tool(t, nil, "curl", "-sS", "--max-time", "20", "--cacert", cert, "https://"+addr)
		if out != hello {
			t.Errorf("over TLS: %q", out)
		}
	}, "-tls-cert", cert, "-tls-key", key)
}

// TestOpenSSL has openssl s_client ask, which checks the certificate.
func TestOpenSSL(t *testing.T) {
	cert, key, _ := program.Certificate(t)
	start(t, func(t *testing.T, p *program.Process, addr string) {
		request := "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			out, _ := program.Tool(t, []byte(request), "openssl", "s_client", "-quiet", "-verify_return_error", version,
				"-CAfile", cert, "-alpn", "http/1.1", "-connect", addr)
			if !strings.HasSuffix(out, hello) {
				t.Errorf("%s: %q", version, out)
			}
		}
	}, "-tls-cert", cert, "-tls-key", key)
}

// TestNetcat has nc send a request and the end behind it.
func TestNetcat(t *testing.T) {
	start(t, func(t *testing.T, p *program.Process, addr string) {
		host, port, _ := strings.Cut(addr, ":")
		out, _ := program.Tool(t, []byte(get), "nc", "-N", host, port)
		if !strings.HasPrefix(out, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(out, hello) {
			t.Errorf("%q", out)
		}
	})
}

var answers = regexp.MustCompile(`(\d+) requests in`)

// TestWrk has wrk ask as often as it can, over many connections.
func TestWrk(t *testing.T) {
	start(t, func(t *testing.T, p *program.Process, addr string) {
		p.CheckDescriptors(func() {
			out, _ := program.Tool(t, nil, "wrk", "-t1", "-c50", "-d1s", "http://"+addr)
			found := answers.FindStringSubmatch(out)
			if found == nil || strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
				t.Fatalf("wrk says\n%s", out)
			}
			if n, _ := strconv.Atoi(found[1]); n == 0 {
				t.Error("nothing was answered")
			}
		})
	}, "-loops", "2")
}
