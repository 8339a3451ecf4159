// Client sends two messages to the server in examples/messages/server, with a pause between them.
//
//	go run ./examples/messages/client -addr 127.0.0.1:8888 -wait 5s
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/eyewall/eyewall/examples/internal/cli"
	"github.com/eyewall/eyewall/reactor"
)

// patience is how long the server may take to read the last of it.
const patience = 10 * time.Second

func main() {
	addr := flag.String("addr", "127.0.0.1:8888", "`host:port` of the server, an IPv6 host in brackets: [::1]:8888")
	backend := cli.Backend()
	wait := flag.Duration("wait", 5*time.Second, "pause between the messages")
	cli.Parse()
	if *wait < 0 {
		cli.Misuse(fmt.Errorf("-wait is %v; it must not be negative", *wait))
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the program at once
	loop, err := reactor.New(reactor.WithBackend(*backend))
	if err != nil {
		cli.Fail(err)
	}
	if err := loop.Go(func(t reactor.Task) error { return talk(t, *addr, *wait) }); err != nil {
		cli.Fail(err)
	}
	if err := loop.Run(ctx); err != nil {
		cli.Fail(err)
	}
}

// message is what goes over the connection, as JSON.
type message struct {
	User string    `json:"send_user"`
	Time time.Time `json:"send_time"`
	Text string    `json:"send_msg"`
}

// talk connects and waits for the end of the connection, while another task sends.
func talk(t reactor.Task, addr string, wait time.Duration) error {
	c, err := reactor.Dial(t, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Printf("client: connected to %v, backend %v\n", c.RemoteAddr(), t.Loop().Backend())

	var sent error
	done := false
	sender := t.Go(func(t reactor.Task) error {
		sent, done = send(t, c, wait), true
		return nil
	})
	defer sender.Cancel() // a no-op where it has ended
	for err == nil {
		_, err = c.Next() // the server has nothing to say, but closes when it has read all
	}
	switch {
	case sent != nil:
		return sent
	case err != io.EOF:
		return err
	case !done:
		return errors.New("the server closed the connection early")
	}
	return nil
}

// send sends two messages and says that no more will come.
func send(t reactor.Task, c reactor.Conn, wait time.Duration) error {
	out := json.NewEncoder(c) // a Conn is an io.Writer; each message gets a line
	for i, text := range []string{"Hello", "Hello again"} {
		if i > 0 {
			if err := t.Sleep(wait); err != nil {
				return err
			}
		}
		if err := out.Encode(message{"client", time.Now(), text}); err != nil {
			return err
		}
		fmt.Printf("client: sent %q\n", text)
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return c.SetReadDeadline(time.Now().Add(patience))
}
