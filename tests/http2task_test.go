package tests

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"github.com/eyewall/eyewall/reactor"
)

// http2.Server serves a connection that a task has accepted and handed over, since ServeConn has goroutines of its own
// that read and write: in clear text and over TLS, many streams at once, bodies larger than any window, and a stream that
// both ends use at the same time.
func TestHTTP2FromTask(t *testing.T) {
	server, client := newAuthority(t).configs(t, tls.VersionTLS13)
	server.NextProtos, client.NextProtos = []string{http2.NextProtoTLS}, []string{http2.NextProtoTLS}
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("TLS=%v", secure), func(t *testing.T) {
				h2 := new(http2.Server)
				handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.ProtoMajor != 2 || (r.TLS != nil) != secure {
						t.Errorf("a request by %s, TLS %v", r.Proto, r.TLS != nil)
					}
					w.WriteHeader(http.StatusOK)
					http.NewResponseController(w).Flush()
					io.Copy(flushing{w}, r.Body)
				})
				ended := make(chan error, 1)
				serve := func(c net.Conn) {
					defer c.Close()
					if secure {
						s := tls.Server(c, server)
						if err := s.Handshake(); err != nil {
							ended <- err
							return
						}
						c = s
					}
					h2.ServeConn(c, &http2.ServeConnOpts{Handler: handler})
					ended <- nil
				}
				addr := make(chan string, 1)
				must(t, "Go", l.Go(func(task reactor.Task) error {
					ln, err := reactor.Listen(task, "tcp", "127.0.0.1:0")
					if err != nil {
						ended <- err
						close(addr)
						return nil
					}
					defer ln.Close()
					addr <- ln.Addr().String()
					c, err := ln.AcceptConn()
					if err != nil {
						ended <- err
						return nil
					}
					go serve(c.Shared())
					return nil
				}))
				transport := &http2.Transport{
					AllowHTTP: true,
					DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
						c, err := l.DialContext(ctx, network, address)
						if err != nil || !secure {
							return c, err
						}
						s := tls.Client(c, client)
						return s, s.HandshakeContext(ctx)
					},
				}
				scheme := map[bool]string{false: "http://", true: "https://"}[secure]
				streams(t, &http.Client{Transport: transport, Timeout: patience}, scheme+<-addr)
				transport.CloseIdleConnections()
				must(t, "the server", result("server", ended))
			})
		}
	})
}

// streams uses one connection for many requests at once.
func streams(t *testing.T, client *http.Client, base string) {
	t.Helper()
	post := func(body io.Reader) (*http.Response, error) {
		return client.Post(base, "application/octet-stream", body)
	}
	first, err := post(http.NoBody) // makes the connection that the others share
	must(t, "the first request", err)
	first.Body.Close()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			sent := bytes.Repeat([]byte{byte(i)}, 10_000*(i+1))
			answer, err := post(bytes.NewReader(sent))
			if err != nil {
				t.Errorf("request %d: %v", i, err)
				return
			}
			defer answer.Body.Close()
			if got, err := io.ReadAll(answer.Body); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("request %d: %d bytes of %d, %v", i, len(got), len(sent), err)
			}
		})
	}
	wg.Wait()
	r, w := io.Pipe()
	answer, err := post(r)
	must(t, "the request that goes on", err)
	defer answer.Body.Close()
	for i := range 50 {
		word := fmt.Sprintf("word %d;", i)
		if _, err := io.WriteString(w, word); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q for %q, %v", got, word, err)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(answer.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q at the end, %v", rest, err)
	}
}

// flushing writes what it is given at once.
type flushing struct{ http.ResponseWriter }

func (w flushing) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	return n, errors.Join(err, http.NewResponseController(w.ResponseWriter).Flush())
}
