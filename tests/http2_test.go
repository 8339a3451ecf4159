package tests

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/eyewall/eyewall/reactor"
)

// HTTP/2 has many streams share a connection, each way at once.
func TestHTTP2(t *testing.T) {
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		ln := listen(t, l, "tcp", "127.0.0.1:0")
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
		var served sync.WaitGroup
		served.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				served.Go(func() { new(http2.Server).ServeConn(c, &http2.ServeConnOpts{Handler: handler}) })
			}
		})
		transport := &http2.Transport{
			AllowHTTP: true,
			DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
				return l.DialContext(ctx, network, address)
			},
		}
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		var streams sync.WaitGroup
		for i := range 20 {
			streams.Go(func() {
				sent := bytes.Repeat([]byte{byte(i), 7}, 50_000)
				answer, err := client.Post("http://"+ln.Addr().String(), "application/octet-stream", bytes.NewReader(sent))
				if err != nil {
					t.Errorf("Post: %v", err)
					return
				}
				defer answer.Body.Close()
				body, err := io.ReadAll(answer.Body)
				if !bytes.Equal(body, sent) || err != nil || answer.ProtoMajor != 2 {
					t.Errorf("%d bytes came back of %d, by %s: %v", len(body), len(sent), answer.Proto, err)
				}
			})
		}
		streams.Wait()
		transport.CloseIdleConnections()
		ln.Close()
		served.Wait()
	})
}
