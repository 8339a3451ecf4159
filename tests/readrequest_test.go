package tests

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
)

// net/http's own parts that read and write messages do so in tasks.
func TestReadRequest(t *testing.T) {
	eachMeeting(t, func(t *testing.T, m meeting) { m.good(t, serveRequests, requests) })
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		m.good(t, tlsServer(server, func(c *tls.Conn) error { return serveRequests(c) }),
			tlsClient(client, func(c *tls.Conn) error { return requests(c) }))
	})
}

func serveRequests(c net.Conn) error {
	r := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return err
		}
		answer := http.Response{
			StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Close: request.Close,
			Header:        http.Header{"X-Path": {request.URL.Path}},
			Body:          io.NopCloser(bytes.NewReader(body)),
			ContentLength: int64(len(body)),
		}
		w := bufio.NewWriter(c)
		if err := answer.Write(w); err != nil {
			return err
		}
		if err := w.Flush(); err != nil || request.Close {
			return err
		}
	}
}
