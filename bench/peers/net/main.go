//go:build linux

// Echo on the standard library: one goroutine and one buffer per connection, of 4 KiB or, for large messages, up to 64.
package main

import (
	"net"
	"runtime"

	"github.com/eyewall/eyewall/bench/internal/control"
)

func main() {
	control.Serve(func(o control.Flags, ready func()) error {
		runtime.GOMAXPROCS(o.Loops) // the only knob there is
		ln, err := net.Listen("tcp", o.Addr)
		if err != nil {
			return err
		}
		size := min(max(o.Size, 4<<10), 64<<10)
		ready()
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			go echo(c, size)
		}
	})
}

func echo(c net.Conn, size int) {
	defer c.Close()
	buf := make([]byte, size)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}
