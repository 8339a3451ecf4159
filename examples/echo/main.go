// Echo sends back what it receives.
//
//	go run ./examples/echo -addr 127.0.0.1:8888 -backend auto -loops 1
//
// The first line that it prints says where it listens and on what. SIGINT and SIGTERM end it, with a summary.
package main

import (
	"context"
	"flag"
	"fmt"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eyewall/eyewall/examples/internal/cli"
	"github.com/eyewall/eyewall/reactor"
)

var served struct{ connections, bytes atomic.Int64 } // on all loops; of connections that have ended

func main() {
	addr := flag.String("addr", "127.0.0.1:8888", "`host:port` to listen on, an IPv6 host in brackets: [::1]:8888")
	backend := cli.Backend()
	loops := flag.Int("loops", 1, "event loops, each on a thread of its own")
	mode := flag.String("mode", "task", "task, for a task for each connection, or handler, for a function called when something has come")
	accept := flag.String("accept", "each", "each, for a listener for each loop, or one, that gives a connection to the loop with the fewest")
	busy := flag.Duration("busy-poll", 0, "how long a loop that has nothing to do looks for something before it blocks")
	pin := flag.Bool("pin", false, "bind each loop to a processor")
	cli.Parse()
	serve, handle := reactor.Serve, echo
	switch *mode {
	case "task":
	case "handler":
		serve, handle = reactor.Handle, echoOnce
	default:
		cli.Misuse(fmt.Errorf("-mode is %q; it must be task or handler", *mode))
	}
	opts := []reactor.Option{reactor.WithBackend(*backend), reactor.WithLoops(*loops), reactor.WithBusyPoll(*busy)}
	switch *accept {
	case "each":
	case "one":
		opts = append(opts, reactor.WithOneAcceptor())
	default:
		cli.Misuse(fmt.Errorf("-accept is %q; it must be each or one", *accept))
	}
	if *busy < 0 {
		cli.Misuse(fmt.Errorf("-busy-poll is %v; it must not be negative", *busy))
	}
	if *pin {
		opts = append(opts, reactor.WithCPUs())
	}
	if *loops < 1 || *loops > 1024 {
		cli.Misuse(fmt.Errorf("-loops is %d; it must be from 1 to 1024", *loops))
	}
	if procs := *loops + 1; procs > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(procs) // a loop that wakes must not queue for one of Go's processors
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the program at once
	start := time.Now()
	opts = append(opts, reactor.WithListening(func(l reactor.Listening) {
		fmt.Printf("echo: listening on %v, backend %v, loops %d\n", l.Addr, l.Backend, l.Loops)
	}))
	err := serve(ctx, "tcp", *addr, handle, opts...)
	if err != nil {
		cli.Fail(err)
	}
	fmt.Printf("echo: ended after %v, connections %d, bytes %d\n",
		time.Since(start).Round(time.Millisecond), served.connections.Load(), served.bytes.Load())
}

// echo is the server: a task for each connection.
func echo(c reactor.Conn) error {
	var n int64
	defer func() {
		served.connections.Add(1)
		served.bytes.Add(n)
	}()
	for {
		data, err := c.Next() // lent until c is next read
		if err != nil {
			return err // io.EOF: the peer is done
		}
		n += int64(len(data))
		if _, err := c.Write(data); err != nil { // goes out when this task next waits
			return err
		}
	}
}

// echoOnce is the server as a handler: it is called when something has come, and an idle connection holds no stack.
func echoOnce(c reactor.Conn) error {
	data, err := c.Next()
	if err != nil {
		served.connections.Add(1)
		return err
	}
	served.bytes.Add(int64(len(data)))
	_, err = c.Write(data)
	return err
}
