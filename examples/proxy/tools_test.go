package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/eyewall/eyewall/examples/internal/program"
)

// TestNetcat has nc send much through the proxy, and the end, and print what comes back until its end.
func TestNetcat(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		ln := program.Listen(t)
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			io.Copy(c, c)
		}()
		_, addr := start(t, backend, ln.Addr().String())
		host, port, _ := strings.Cut(addr, ":")
		sent := bytes.Repeat([]byte("a line of many\n"), 300_000)
		if got, _ := program.Tool(t, sent, "nc", "-N", host, port); got != string(sent) {
			t.Errorf("%d bytes came back, or others, of %d", len(got), len(sent))
		}
	})
}

// TestWeb has curl and wrk talk to a web server behind the proxy.
func TestWeb(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("a page, ", 50_000)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })}
	go web.Serve(ln)
	t.Cleanup(func() { web.Close() })
	program.Backends(t, func(t *testing.T, backend string) {
		p, addr := start(t, backend, ln.Addr().String())
		if out, _ := program.Tool(t, nil, "curl", "-sS", "--max-time", "20", "http://"+addr); out != body {
			t.Errorf("curl got %d bytes, or others, of %d", len(out), len(body))
		}
		p.CheckDescriptors(func() {
			out, _ := program.Tool(t, nil, "wrk", "-t1", "-c20", "-d1s", "http://"+addr)
			if strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") || strings.Contains(out, " 0 requests in") {
				t.Errorf("wrk says\n%s", out)
			}
		})
	})
}
