// Proxy passes on what comes, to another address and back. Large amounts are not copied, see splice(2).
//
//	go run ./examples/proxy -addr 127.0.0.1:9999 -to 127.0.0.1:8888
//
// The end of the stream is passed on, too, in each direction by itself. The first line that it prints says where it
// listens, where it connects to and on what. At SIGINT or SIGTERM it accepts no more, lets the connections that there
// are come to their end for a while, and ends; at a second one it ends at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/eyewall/eyewall/examples/internal/cli"
	"github.com/eyewall/eyewall/reactor"
)

func main() {
	addr := cli.Addr("9999")
	to := flag.String("to", "", "`host:port` to connect to for each connection")
	backend := cli.Backend()
	loops := flag.Int("loops", 1, "event loops, each on a thread of its own")
	connectTimeout := flag.Duration("connect-timeout", 5*time.Second, "how long connecting may take")
	idle := flag.Duration("idle", 0, "how long nothing may pass before a connection is closed; 0 for ever")
	drain := flag.Duration("drain", 2*time.Second, "how long connections may go on after SIGINT or SIGTERM")
	cli.Parse()
	switch _, _, err := net.SplitHostPort(*to); {
	case *to == "":
		cli.Misuse(errors.New("-to is missing; it is where to connect to, host:port"))
	case err != nil:
		cli.Misuse(fmt.Errorf("-to: %w", err))
	case *connectTimeout <= 0:
		cli.Misuse(fmt.Errorf("-connect-timeout is %v; it must be positive", *connectTimeout))
	case *idle < 0 || *drain < 0:
		cli.Misuse(fmt.Errorf("-idle is %v and -drain is %v; neither must be negative", *idle, *drain))
	case *loops < 1 || *loops > 1024:
		cli.Misuse(fmt.Errorf("-loops is %d; it must be from 1 to 1024", *loops))
	}
	p := proxy{to: *to, idle: *idle, dialer: reactor.Dialer{Timeout: *connectTimeout}}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the program at once
	err := reactor.Serve(ctx, "tcp", *addr, p.serve,
		reactor.WithBackend(*backend), reactor.WithLoops(*loops), reactor.WithDrain(*drain), reactor.WithErrors(report),
		reactor.WithListening(func(l reactor.Listening) {
			fmt.Printf("proxy: listening on %v, connecting to %s, backend %v, loops %d\n", l.Addr, *to, l.Backend, l.Loops)
		}))
	var cut *reactor.ShutdownError
	if err != nil && !errors.As(err, &cut) {
		cli.Fail(err)
	}
}

// report tells why a connection could not be made. What ends one that was made is its peers' affair.
func report(err error) {
	if e := (*net.OpError)(nil); errors.As(err, &e) && e.Op != "read" && e.Op != "write" {
		fmt.Fprintln(os.Stderr, "proxy:", err)
	}
}

type proxy struct {
	to     string
	idle   time.Duration
	dialer reactor.Dialer
}

// serve passes on what a connection brings, and what comes back, until both have ended or one has failed.
func (p *proxy) serve(in reactor.Conn) error {
	t := in.Task()
	out, err := p.dialer.Dial(t, "tcp", p.to)
	if err != nil {
		in.SetLinger(0) // a reset: the client is not to take it for an empty answer
		return err
	}
	defer out.Close()
	return t.Together(func(g *reactor.TaskGroup) error {
		g.Go(func(reactor.Task) error { return p.pass(out, in) })
		return p.pass(in, out)
	})
}

// pass passes on what comes from one to the other, and the end of it. Without -idle, io.Copy would do for that.
func (p *proxy) pass(to, from reactor.Conn) error {
	for {
		if p.idle > 0 { // what passes in one direction keeps the other, too
			end := time.Now().Add(p.idle)
			from.SetReadDeadline(end)
			to.SetReadDeadline(end)
			to.SetWriteDeadline(end.Add(p.idle)) // of what comes at the end of that
		}
		_, err := from.Splice(to)
		if err == io.EOF {
			return to.CloseWrite()
		}
		if err != nil {
			return err
		}
	}
}
