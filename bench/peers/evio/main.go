//go:build linux

// Echo on evio. It leaves Nagle's algorithm on and has no switch for it, which would make every latency its own; so the
// descriptor is taken by reflection.
package main

import (
	"reflect"

	"github.com/tidwall/evio"
	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/bench/internal/control"
)

func main() {
	control.Serve(func(o control.Flags, ready func()) error {
		return evio.Serve(evio.Events{
			NumLoops:    o.Loops,
			LoadBalance: evio.RoundRobin,
			Serving: func(evio.Server) evio.Action {
				ready()
				return evio.None
			},
			Opened: func(c evio.Conn) ([]byte, evio.Options, evio.Action) {
				fd := reflect.ValueOf(c).Elem().FieldByName("fd").Int()
				if unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) != nil {
					return nil, evio.Options{}, evio.Close
				}
				return nil, evio.Options{ReuseInputBuffer: true}, evio.None
			},
			Data: func(_ evio.Conn, in []byte) ([]byte, evio.Action) { return in, evio.None },
		}, "tcp://"+o.Addr)
	})
}
