// Server prints the JSON messages that clients send it. Package examples/messages/client is such a client.
//
//	go run ./examples/messages/server -addr 127.0.0.1:8888 -backend auto
//
// It makes its loop and its tasks by hand; examples/echo leaves that to reactor.Serve. TCP carries a stream that knows
// no messages: each is a JSON value, which tells by itself where it ends. SIGINT and SIGTERM end the server.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// maxMessage bounds what is read for one message, in bytes: a peer cannot fill the memory.
const maxMessage = 64 << 10

func main() {
	addr := cli.Addr("8888")
	backend := cli.Backend()
	cli.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the program at once
	loop, err := reactor.New(reactor.WithBackend(*backend))
	if err != nil {
		cli.Fail(err)
	}
	var s server
	if err := loop.Go(func(t reactor.Task) error { return s.listen(t, *addr) }); err != nil {
		cli.Fail(err)
	}
	start := time.Now()
	if err := loop.Run(ctx); err != nil && err != context.Cause(ctx) {
		cli.Fail(err)
	}
	fmt.Printf("server: ended after %v, connections %d, messages %d\n",
		time.Since(start).Round(time.Millisecond), s.connections, s.messages)
}

// server is the tasks' common state. They all run on one loop, so it needs no lock.
type server struct {
	connections, messages int
}

// listen accepts, and starts a task for each connection.
func (s *server) listen(t reactor.Task, addr string) error {
	ln, err := reactor.Listen(t, "tcp", addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	fmt.Printf("server: listening on %v, backend %v\n", ln.Addr(), t.Loop().Backend())
	for {
		c, err := ln.AcceptConn()
		if err != nil {
			return err
		}
		t.Go(func(reactor.Task) error {
			s.serve(c)
			return nil
		})
	}
}

// serve sees to a connection until its end.
func (s *server) serve(c reactor.Conn) {
	defer c.Close()
	from := c.RemoteAddr()
	fmt.Printf("Got connection from %v\n", from)
	s.connections++
	if err := s.receive(c, from); err != nil && !errors.Is(err, reactor.ErrCanceled) { // which it is when the loop ends
		fmt.Fprintf(os.Stderr, "server: connection from %v closed: %v\n", from, err)
	}
}

// receive prints the messages that come, until the peer is done.
func (s *server) receive(c reactor.Conn, from net.Addr) error {
	in := &io.LimitedReader{R: c} // a Conn is an io.Reader; where it has to wait, other tasks run
	messages := json.NewDecoder(in)
	for {
		in.N = maxMessage
		var message json.RawMessage
		switch err := messages.Decode(&message); {
		case err != nil && in.N == 0:
			return fmt.Errorf("a message of more than %d bytes", maxMessage)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		var line bytes.Buffer
		if err := json.Compact(&line, message); err != nil {
			return err
		}
		fmt.Printf("%v: %s\n", from, &line)
		s.messages++
	}
}
