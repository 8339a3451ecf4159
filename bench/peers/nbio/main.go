//go:build linux

// Echo on nbio. Its Write copies what cannot be sent at once, so that data needs no copy here.
package main

import (
	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"

	"github.com/eyewall/eyewall/bench/internal/control"
)

func main() {
	logging.SetLevel(logging.LevelError)
	control.Serve(func(o control.Flags, ready func()) error {
		engine := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{o.Addr}, NPoller: o.Loops})
		engine.OnData(func(c *nbio.Conn, data []byte) { c.Write(data) })
		if err := engine.Start(); err != nil {
			return err
		}
		ready()
		select {}
	})
}
