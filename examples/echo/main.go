// Echo sends back what it receives.
//
//	go run ./examples/echo -addr 127.0.0.1:8888 -backend auto -loops 1
//	go run ./examples/echo -tls-cert cert.pem -tls-key key.pem -idle 60s
//
// The first line that it prints says where it listens and on what. At SIGINT or SIGTERM it accepts no more, lets the
// connections that there are come to their end for a while, and ends, with a summary; at a second one it ends at once.
package main

import (
	"context"
	"crypto/tls"
	"errors"
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
	addr := cli.Addr("8888")
	backend := cli.Backend()
	loops := flag.Int("loops", 1, "event loops, each on a thread of its own")
	mode := flag.String("mode", "task", "task, for a task for each connection, or handler, for a function called when something has come")
	cert := flag.String("tls-cert", "", "`file` with the certificate, and those that vouch for it, in PEM: talk TLS")
	key := flag.String("tls-key", "", "`file` with its private key, in PEM")
	flag.DurationVar(&idle, "idle", 0, "how long a connection may say nothing before it is closed; 0 for ever")
	drain := flag.Duration("drain", 2*time.Second, "how long connections may go on after SIGINT or SIGTERM")
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
	config, err := cli.TLS(*cert, *key)
	switch {
	case err != nil:
		cli.Misuse(err)
	case config != nil && *mode == "handler":
		cli.Misuse(errors.New("-tls-cert needs -mode task: a handler would have to keep what it knows of TLS by itself"))
	case config != nil:
		handle = echoTLS(config)
	}
	if idle < 0 || *drain < 0 {
		cli.Misuse(fmt.Errorf("-idle is %v and -drain is %v; neither must be negative", idle, *drain))
	}
	opts := []reactor.Option{reactor.WithBackend(*backend), reactor.WithLoops(*loops), reactor.WithBusyPoll(*busy), reactor.WithDrain(*drain)}
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
	err = serve(ctx, "tcp", *addr, handle, opts...)
	var cut *reactor.ShutdownError
	if err != nil && !errors.As(err, &cut) {
		cli.Fail(err)
	}
	if cut != nil {
		fmt.Printf("echo: %d connections were open after %v\n", cut.Conns, *drain)
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
		if err := await(c); err != nil {
			return err
		}
		data, err := c.Next() // lent until c is next read or closed
		if err != nil {
			return err // io.EOF: the peer is done
		}
		n += int64(len(data))
		if _, err := c.Write(data); err != nil { // goes out when this task next waits
			return err
		}
	}
}

// echoTLS is the same over TLS, which reads and writes the connection by itself.
func echoTLS(config *tls.Config) func(reactor.Conn) error {
	return func(c reactor.Conn) error {
		conn := tls.Server(c, config)
		var n int64
		defer func() {
			conn.Close() // and tells the peer so
			served.connections.Add(1)
			served.bytes.Add(n)
		}()
		c.SetReadDeadline(time.Now().Add(handshakeTime))
		if err := conn.Handshake(); err != nil {
			return err
		}
		c.SetReadDeadline(time.Time{})
		buf := make([]byte, 16<<10) // a record
		for {
			if err := await(c); err != nil {
				return err
			}
			got, err := conn.Read(buf)
			if err != nil {
				return err
			}
			n += int64(got)
			if _, err := conn.Write(buf[:got]); err != nil {
				return err
			}
		}
	}
}

const handshakeTime = 10 * time.Second

var idle time.Duration

// await bounds how long the next read waits.
func await(c reactor.Conn) error {
	if idle == 0 {
		return nil
	}
	return c.SetReadDeadline(time.Now().Add(idle))
}

// echoOnce is the server as a handler: it is called when something has come, and an idle connection holds no stack.
func echoOnce(c reactor.Conn) error {
	data, err := c.Next()
	if err != nil {
		served.connections.Add(1)
		return err
	}
	served.bytes.Add(int64(len(data)))
	if _, err = c.Write(data); err != nil {
		return err
	}
	return await(c)
}
