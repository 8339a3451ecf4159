package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/tidwall/redcon"

	_ "github.com/eyewall/eyewall/backend/all"
	"github.com/eyewall/eyewall/reactor"
)

// testCase is a kind of server and its client.
type testCase struct {
	name  string
	serve func(ln net.Listener) error
	load  func(s *server, conns int, length time.Duration) (rate, error)
}

const size = 1 << 20 // bytes of a reply

var cases = []*testCase{
	{"1 MB reply", serveWeb, wrk("/memory")},
	{"1 MB file", serveWeb, wrk("/file")},
	{"connection", serveWeb, wrk("/short", "Connection: close")},
	{"redcon", serveRedis, redis},
}

// serveCase listens, says where, and serves.
func serveCase(name, backend string) error {
	ln, err := listen(backend)
	if err != nil {
		return err
	}
	fmt.Printf("listening on %v\n", ln.Addr())
	for _, c := range cases {
		if c.name == name {
			return c.serve(ln)
		}
	}
	return fmt.Errorf("there is no case %q", name)
}

// listen listens by package net, or by a loop.
func listen(name string) (net.Listener, error) {
	if name == onNet {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	l, err := reactor.New(reactor.WithBackend(name))
	if err != nil {
		return nil, err
	}
	result := make(chan error, 1)
	var ln net.Listener
	err = l.Go(func(task reactor.Task) error {
		own, err := reactor.Listen(task, "tcp", "127.0.0.1:0")
		if err == nil {
			ln = own.Shared()
		}
		result <- err
		return nil
	})
	if err != nil {
		return nil, err
	}
	go l.Run(context.Background())
	return ln, <-result
}

func serveWeb(ln net.Listener) error {
	data, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/memory", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(data)
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(*file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, f)
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("Hello, world!\n")) })
	return http.Serve(ln, mux)
}

func serveRedis(ln net.Listener) error {
	value := bytes.Repeat([]byte("x"), 64)
	return redcon.Serve(ln, func(c redcon.Conn, cmd redcon.Command) {
		switch string(bytes.ToUpper(cmd.Args[0])) {
		case "GET":
			c.WriteBulk(value)
		default:
			c.WriteString("OK")
		}
	}, func(redcon.Conn) bool { return true }, func(redcon.Conn, error) {})
}
