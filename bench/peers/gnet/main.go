//go:build linux

// Echo on gnet, in the way of its own examples.
package main

import (
	"github.com/panjf2000/gnet/v2"

	"github.com/eyewall/eyewall/bench/internal/control"
)

type server struct {
	gnet.BuiltinEventEngine
	ready func()
}

func (s *server) OnBoot(gnet.Engine) gnet.Action {
	s.ready()
	return gnet.None
}

func (s *server) OnTraffic(c gnet.Conn) gnet.Action {
	data, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(data); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func main() {
	control.Serve(func(o control.Flags, ready func()) error {
		return gnet.Run(&server{ready: ready}, "tcp://"+o.Addr,
			gnet.WithNumEventLoop(o.Loops),
			gnet.WithMulticore(o.Loops > 1),
			gnet.WithTCPNoDelay(gnet.TCPNoDelay))
	})
}
