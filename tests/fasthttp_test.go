package tests

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// fasthttp serves connections in tasks, with TLS and without: many requests, in one segment and in pieces, and bodies
// larger than any buffer.
func TestFasthttp(t *testing.T) {
	server := &fasthttp.Server{Handler: echoFast, ReadTimeout: patience, WriteTimeout: patience, Logger: silent{}}
	warmFasthttp(t, server)
	eachMeeting(t, func(t *testing.T, m meeting) { m.good(t, server.ServeConn, requests) })
	eachTLS(t, func(t *testing.T, m meeting, a *authority, config, client *tls.Config) {
		m.good(t, func(c net.Conn) error { return server.ServeConn(tls.Server(c, config)) },
			tlsClient(client, func(c *tls.Conn) error { return requests(c) }))
	})
}

// A peer that stalls within a request, or between two, does not outlast the server's timeouts.
func TestFasthttpStall(t *testing.T) {
	server := &fasthttp.Server{
		Handler: echoFast, Logger: silent{},
		ReadTimeout: 20 * time.Millisecond, IdleTimeout: 20 * time.Millisecond,
	}
	warmFasthttp(t, server)
	eachMeeting(t, func(t *testing.T, m meeting) {
		for _, said := range []string{"", "POST / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nhalf"} {
			var timeout net.Error
			err, clientErr := m.run(func(c net.Conn) error {
				r := bufio.NewReader(c)
				if _, err := r.Peek(len(said)); err != nil { // so that the timeouts are of what comes after
					return err
				}
				return server.ServeConn(peeked{c, r})
			}, func(c net.Conn) error {
				if err := say(c, said); err != nil {
					return err
				}
				_, err := io.Copy(io.Discard, c)
				return err
			})
			if said != "" && (!errors.As(err, &timeout) || !timeout.Timeout()) {
				t.Errorf("after %q: %v", said, err)
			}
			must(t, "the peer", clientErr)
		}
	})
}

// peeked is a connection that was read ahead.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (c peeked) Read(p []byte) (int, error) { return c.r.Read(p) }

func echoFast(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.SetBytesV("X-Path", ctx.Path())
	ctx.SetBody(ctx.PostBody())
}

// warmFasthttp serves a first request elsewhere: it starts a goroutine that stays.
func warmFasthttp(t *testing.T, server *fasthttp.Server) {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- server.ServeConn(far) }()
	must(t, "Write", say(near, "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"))
	io.Copy(io.Discard, near)
	must(t, "ServeConn", <-done)
	near.Close()
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// requests is a client of a server that sends back the body, and the path in a header.
func requests(c net.Conn) error {
	r := bufio.NewReader(c)
	send := func(path, body string) error {
		request, err := http.NewRequest("POST", "http://here"+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		return request.Write(c)
	}
	answered := func(path, body string) error {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		if err != nil || string(got) != body || answer.StatusCode != 200 || answer.Header.Get("X-Path") != path {
			return fmt.Errorf("%s: status %d, %d bytes of %d, %v", path, answer.StatusCode, len(got), len(body), err)
		}
		return nil
	}
	for i, size := range []int{0, 1, 4095, 4096, 300_000} {
		path, body := fmt.Sprintf("/%d", i), strings.Repeat("x", size)
		if err := errors.Join(send(path, body), answered(path, body)); err != nil {
			return err
		}
	}
	const one = "POST /one HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
	if err := say(c, strings.Repeat(one, 20)); err != nil {
		return err
	}
	for range 20 {
		if err := answered("/one", "body"); err != nil {
			return err
		}
	}
	for i := range one {
		if err := say(c, one[i:i+1]); err != nil {
			return err
		}
	}
	if err := answered("/one", "body"); err != nil {
		return err
	}
	if err := say(c, "POST /end HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"); err != nil {
		return err
	}
	if err := answered("/end", ""); err != nil {
		return err
	}
	if tls, ok := c.(*tls.Conn); ok {
		return tls.CloseWrite() // the server waits for it
	}
	return nil
}
