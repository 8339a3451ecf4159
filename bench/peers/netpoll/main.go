//go:build linux

// Echo on CloudWeGo's netpoll, with its reader and writer that do not copy and its own pool of goroutines.
package main

import (
	"context"

	"github.com/cloudwego/netpoll"

	"github.com/eyewall/eyewall/bench/internal/control"
)

func main() {
	control.Serve(func(o control.Flags, ready func()) error {
		if err := netpoll.Configure(netpoll.Config{PollerNum: o.Loops}); err != nil {
			return err
		}
		ln, err := netpoll.CreateListener("tcp", o.Addr)
		if err != nil {
			return err
		}
		loop, err := netpoll.NewEventLoop(echo)
		if err != nil {
			return err
		}
		ready() // connections wait in the listener's queue
		return loop.Serve(ln)
	})
}

func echo(_ context.Context, c netpoll.Connection) error {
	in, out := c.Reader(), c.Writer()
	data, err := in.Next(in.Len())
	if err != nil {
		return err
	}
	if _, err := out.WriteBinary(data); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return in.Release()
}
