package main

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/eyewall/eyewall/examples/internal/program"
)

// TestNetcat has nc send what it reads, and the end, and print what comes back until its end.
func TestNetcat(t *testing.T) {
	program.Backends(t, func(t *testing.T, backend string) {
		for _, mode := range []string{"task", "handler"} {
			p := program.Start(t, "echo", "-addr", "127.0.0.1:0", "-backend", backend, "-mode", mode)
			host, port, _ := strings.Cut(listening(p, backend, 1), ":")
			sent := bytes.Repeat([]byte("a line of many\n"), 20_000)
			if got, _ := program.Tool(t, sent, "nc", "-N", host, port); got != string(sent) {
				t.Errorf("%s: %d bytes came back, or others, of %d", mode, len(got), len(sent))
			}
		}
	})
}

// TestOpenSSL has openssl s_client, which ends at the end of its input, talk over TLS.
func TestOpenSSL(t *testing.T) {
	program.Tool(t, nil, "openssl", "version")
	cert, key, _ := program.Certificate(t)
	program.Backends(t, func(t *testing.T, backend string) {
		p := program.Start(t, "echo", "-addr", "127.0.0.1:0", "-backend", backend, "-tls-cert", cert, "-tls-key", key)
		addr := listening(p, backend, 1)
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			client := exec.Command("openssl", "s_client", "-quiet", "-no_ign_eof", "-verify_return_error", version, "-CAfile", cert, "-connect", addr)
			in, err := client.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := client.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Process.Kill() })
			got := make([]byte, 10)
			for range 3 {
				io.WriteString(in, "some line\n")
				if n, err := io.ReadFull(out, got); err != nil || string(got) != "some line\n" {
					t.Errorf("%s: %q, %v", version, got[:n], err)
				}
			}
			in.Close()
			if err := client.Wait(); err != nil {
				t.Errorf("%s: %v", version, err)
			}
		}
	})
}
