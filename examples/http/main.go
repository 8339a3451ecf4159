// Http serves HTTP/1.1 with fasthttp, a task for each connection: fasthttp reads and writes a net.Conn in straight-line
// code, and knows nothing of loops.
//
//	go -C examples/http run . -addr 127.0.0.1:8080 -backend auto -loops 1
//	go -C examples/http run . -tls-cert cert.pem -tls-key key.pem
//
// GET / answers 200. The first line that it prints says where it listens and on what. SIGINT and SIGTERM end it.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/eyewall/eyewall/examples/internal/cli"
	"github.com/eyewall/eyewall/reactor"
)

func main() {
	addr := cli.Addr("8080")
	backend := cli.Backend()
	loops := flag.Int("loops", 1, "event loops, each on a thread of its own")
	cert := flag.String("tls-cert", "", "`file` with the certificate, and those that vouch for it, in PEM: serve HTTPS")
	key := flag.String("tls-key", "", "`file` with its private key, in PEM")
	patience := flag.Duration("timeout", 10*time.Second, "how long a handshake, a request or an answer may take on its way")
	cli.Parse()
	config, err := cli.TLS(*cert, *key)
	if err != nil {
		cli.Misuse(err)
	}
	if config != nil {
		config.NextProtos = []string{"http/1.1"}
	}
	switch {
	case *loops < 1 || *loops > 1024:
		cli.Misuse(fmt.Errorf("-loops is %d; it must be from 1 to 1024", *loops))
	case *patience <= 0:
		cli.Misuse(fmt.Errorf("-timeout is %v; it must be positive", *patience))
	}
	if procs := *loops + 1; procs > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(procs) // a loop that wakes must not queue for one of Go's processors
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the program at once
	err = reactor.Serve(ctx, "tcp", *addr, handler(config, *patience),
		reactor.WithBackend(*backend), reactor.WithLoops(*loops),
		reactor.WithListening(func(l reactor.Listening) {
			fmt.Printf("http: listening on %v, backend %v, loops %d\n", l.Addr, l.Backend, l.Loops)
		}))
	if err != nil {
		cli.Fail(err)
	}
}

// handler serves the requests of a connection, in a task.
func handler(config *tls.Config, patience time.Duration) func(reactor.Conn) error {
	web := &fasthttp.Server{
		Handler: answer,
		Name:    "eyewall",

		ReadTimeout:  patience, // of a request, and of a handshake
		WriteTimeout: patience,
		IdleTimeout:  time.Minute,

		ReduceMemoryUsage:  true, // an idle connection holds no buffers
		MaxRequestBodySize: 1 << 20,
		Logger:             silent{}, // clients go away and send nonsense; they are told, if anybody is
	}
	return func(c reactor.Conn) error {
		var conn net.Conn = c
		if config != nil {
			conn = tls.Server(c, config)
		}
		defer conn.Close() // which says so to a TLS peer
		return web.ServeConn(conn)
	}
}

func answer(ctx *fasthttp.RequestCtx) {
	switch {
	case string(ctx.Path()) != "/":
		ctx.Error("there is nothing but /", fasthttp.StatusNotFound)
	case !ctx.IsGet() && !ctx.IsHead():
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		ctx.Error("only GET and HEAD", fasthttp.StatusMethodNotAllowed)
	default:
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("Hello, world!\n")
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}
