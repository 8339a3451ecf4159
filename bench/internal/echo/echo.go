//go:build linux

// Package echo is eyewall's echo servers, as the benchmark measures them: what a user would write, nothing tuned.
package echo

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/eyewall/eyewall/bench/internal/control"
	"github.com/eyewall/eyewall/bench/internal/rows"
	"github.com/eyewall/eyewall/reactor"
)

// Main is the main function of a server process.
func Main(args []string) {
	f := flag.NewFlagSet("serve", flag.ExitOnError)
	var o control.Flags
	o.Define(f)
	name := f.String("backend", "", "`name` of the backend")
	form := f.String("form", "task", "task or handler")
	accept := f.String("accept", "each", "each or one")
	busy := f.Duration("busy-poll", 0, "how long a loop looks for something before it blocks")
	f.Parse(args)

	runtime.GOMAXPROCS(o.Loops + 1) // a loop that wakes must not queue for one of Go's processors
	serve, handle := reactor.Serve, task
	if *form == "handler" {
		serve, handle = reactor.Handle, handler
	}
	opts := []reactor.Option{reactor.WithBackend(*name), reactor.WithLoops(o.Loops), reactor.WithBusyPoll(*busy)}
	if *accept == rows.One {
		opts = append(opts, reactor.WithOneAcceptor())
	}
	var listening atomic.Pointer[reactor.Listening]
	control.ServeOn(func(s *control.Snapshot) {
		if l := listening.Load(); l != nil {
			all, err := l.Stats(context.Background())
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			count(s, all)
		}
	}, func(ready func(string)) error {
		return serve(context.Background(), "tcp", o.Addr, handle, append(opts, reactor.WithListening(func(l reactor.Listening) {
			listening.Store(&l)
			ready(l.Backend.String())
		}))...)
	})
}

// task is run once for each connection.
func task(c reactor.Conn) error {
	for {
		data, err := c.Next()
		if err != nil {
			return err
		}
		if _, err := c.Write(data); err != nil {
			return err
		}
	}
}

// handler is called each time something has come.
func handler(c reactor.Conn) error {
	data, err := c.Next()
	if err != nil {
		return err
	}
	_, err = c.Write(data)
	return err
}

// count adds up what the loops have done.
func count(s *control.Snapshot, loops []reactor.Stats) {
	s.Counted = true
	for _, l := range loops {
		s.Syscalls += l.Backend.Syscalls
		s.Waits += l.Backend.Waits
		s.Completions += l.Backend.Completions
		s.Starved += l.Backend.Starved
		s.Switches += l.Switches
	}
}
