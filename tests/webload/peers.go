package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
)

const hello = "Hello, world!\n"

func serveNetHTTP() error {
	ln, err := listen()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(w, hello)
		}),
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	return server.Serve(ln)
}

// serveFasthttp is as examples/http is, over package net.
func serveFasthttp() error {
	ln, err := listen()
	if err != nil {
		return err
	}
	server := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("text/plain; charset=utf-8")
			ctx.SetBodyString(hello)
		},
		Name:        "fasthttp",
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ReduceMemoryUsage:  true,
		MaxRequestBodySize: 1 << 20,
		Logger:             log.New(io.Discard, "", 0),
	}
	return server.Serve(ln)
}

func listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Printf("listening on %v\n", ln.Addr())
	}
	return ln, err
}
