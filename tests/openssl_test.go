package tests

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

// openssl makes a command of the tool of that name, which ends with the test.
func openssl(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("openssl")
	switch {
	case err != nil && slices.Contains(strings.Split(os.Getenv(requireToolsVar), ","), "openssl"):
		t.Fatalf("openssl is not installed, and %s asks for it: %v", requireToolsVar, err)
	case err != nil:
		t.Skipf("openssl is not installed: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.WaitDelay = patience
	return cmd
}

// opensslVersions are the flags that bind it to one version of TLS.
var opensslVersions = map[string]uint16{"-tls1_2": tls.VersionTLS12, "-tls1_3": tls.VersionTLS13}

// A server in a task talks with openssl s_client: its protocol, its certificate, a later session that resumes the first
// one, and in TLS 1.3 an update of the keys on the way.
func TestOpenSSLClient(t *testing.T) {
	openssl(t)
	a := newAuthority(t)
	ca, cert, key := a.files(t, a.sign(t, "client"))
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		for flag, version := range opensslVersions {
			t.Run(flag[1:], func(t *testing.T) {
				config, _ := a.configs(t, version)
				config.NextProtos = []string{"lines"}
				config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.roots
				session := filepath.Join(t.TempDir(), "session")
				for i := range 2 {
					addr, served := make(chan string, 1), make(chan error, 1)
					must(t, "Go", l.Go(func(task reactor.Task) error {
						ln, err := reactor.Listen(task, "tcp", "127.0.0.1:0")
						served <- accept(ln, err, addr, tlsServer(config, func(c *tls.Conn) error {
							if s := c.ConnectionState(); s.NegotiatedProtocol != "lines" || s.DidResume != (i > 0) ||
								s.PeerCertificates[0].Subject.CommonName != "client" {
								return fmt.Errorf("protocol %q, resumed: %v", s.NegotiatedProtocol, s.DidResume)
							}
							return echoLines(c)
						}))
						return nil
					}))
					args := []string{"s_client", flag, "-connect", <-addr, "-CAfile", ca, "-verify_return_error",
						"-cert", cert, "-key", key, "-alpn", "lines", "-sess_out", session}
					if i > 0 {
						args = append(args, "-sess_in", session)
					}
					talkLines(t, openssl(t, args...), version == tls.VersionTLS13)
					if err := result("server", served); err != nil {
						t.Errorf("the server: %v", err)
					}
				}
			})
		}
	})
}

// echoLines sends lines back in capitals, until the end.
func echoLines(c net.Conn) error {
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := say(c, strings.ToUpper(line)); err != nil {
			return err
		}
	}
}

// talkLines has s_client, on whose stdin a line that is Q ends it and K updates the keys, say some lines, and reads the
// answers.
func talkLines(t *testing.T, cmd *exec.Cmd, update bool) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	must(t, "StdinPipe", err)
	r, w, err := os.Pipe()
	must(t, "Pipe", err)
	defer r.Close()
	r.SetDeadline(time.Now().Add(patience))
	cmd.Stdout, cmd.Stderr = w, w
	must(t, "Start", cmd.Start())
	w.Close()
	out := bufio.NewReader(r)
	var all strings.Builder
	await := func(want string) {
		t.Helper()
		for {
			line, err := out.ReadString('\n')
			all.WriteString(line)
			if strings.Contains(line, want) {
				return
			}
			if err != nil {
				t.Errorf("s_client: %v before %q; all it said is\n%s", err, want, all.String())
				return
			}
		}
	}
	io.WriteString(stdin, "one line\n")
	await("ONE LINE")
	if update {
		io.WriteString(stdin, "K\n")
		await("KEYUPDATE")
	}
	long := strings.Repeat("many words ", 1000)
	io.WriteString(stdin, long+"\n")
	await(strings.ToUpper(long))
	io.WriteString(stdin, "Q\n")
	await("DONE")
	io.Copy(&all, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("s_client: %v; all it said is\n%s", err, all.String())
	}
}

// A client in a task talks with openssl s_server, which sends each line back reversed: its certificate is asked for, and
// a later session resumes the first one.
func TestOpenSSLServer(t *testing.T) {
	openssl(t)
	a := newAuthority(t)
	ca, cert, key := a.files(t, a.sign(t, "server"))
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		for flag, version := range opensslVersions {
			t.Run(flag[1:], func(t *testing.T) {
				addr := serveOpenSSL(t, "-rev", flag, "-cert", cert, "-key", key, "-CAfile", ca, "-Verify", "1",
					"-verify_return_error", "-alpn", "lines", "-naccept", "2")
				_, config := a.configs(t, version)
				config.NextProtos = []string{"lines"}
				config.Certificates = []tls.Certificate{a.sign(t, "client")}
				config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
				for i := range 2 {
					must(t, "the client", inTask(t, l, func(task reactor.Task) error {
						c, err := reactor.Dial(task, "tcp", addr)
						return hold(c, err, tlsClient(config, func(c *tls.Conn) error {
							if s := c.ConnectionState(); s.NegotiatedProtocol != "lines" || s.DidResume != (i > 0) {
								return fmt.Errorf("protocol %q, resumed: %v", s.NegotiatedProtocol, s.DidResume)
							}
							long := strings.Repeat("ab", 5000)
							return errors.Join(say(c, "a line\n"), hear(c, "enil a\n"),
								say(c, long+"\n"), hear(c, strings.Repeat("ba", 5000)+"\n"))
						}))
					}))
				}
			})
		}
	})
}

// serveOpenSSL starts s_server, and returns where it listens.
func serveOpenSSL(t *testing.T, args ...string) (addr string) {
	t.Helper()
	cmd := openssl(t, append([]string{"s_server", "-accept", "127.0.0.1:0"}, args...)...)
	r, w, err := os.Pipe()
	must(t, "Pipe", err)
	r.SetReadDeadline(time.Now().Add(patience))
	cmd.Stdout, cmd.Stderr = w, w
	must(t, "Start", cmd.Start())
	w.Close()
	out := bufio.NewReader(r)
	var all strings.Builder
	for addr == "" {
		line, err := out.ReadString('\n')
		all.WriteString(line)
		if after, ok := strings.CutPrefix(line, "ACCEPT "); ok {
			addr = strings.TrimSpace(after)
		} else if err != nil {
			break
		}
	}
	drained := make(chan struct{})
	go func() { // or it would block on its own output
		defer close(drained)
		io.Copy(&all, out)
		r.Close()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() // fails where it has ended
		<-drained
		cmd.Wait()
		if t.Failed() {
			t.Logf("s_server said\n%s", all.String())
		}
	})
	if addr == "" {
		t.Fatal("s_server does not listen")
	}
	return addr
}
