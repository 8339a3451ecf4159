package reactor

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Both ends of a connection find out within minutes that the other is gone, as package net's do, unless told otherwise.
func TestKeepAliveDefaults(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			check := func(what string, c Conn, on, idle, interval, count int) {
				t.Helper()
				for option, want := range map[[2]int]int{
					{unix.SOL_SOCKET, unix.SO_KEEPALIVE}: on, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}: interval,
					{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}: count, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}: idle,
				} {
					if got, err := unix.GetsockoptInt(c.FD(), option[0], option[1]); got != want || err != nil {
						t.Errorf("%s: option %v is %d, %v, want %d", what, option, got, err, want)
					}
				}
			}
			check("dialed", a, 1, 15, 15, 9)
			check("accepted", b, 1, 15, 15, 9)
			must(t, "SetKeepAlivePeriod", a.SetKeepAlivePeriod(90*time.Second))
			check("period", a, 1, 90, 15, 9)
			must(t, "SetKeepAliveConfig", a.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 1500 * time.Millisecond, Interval: -1, Count: 3}))
			check("config", a, 1, 2, 15, 3)
			must(t, "SetKeepAliveConfig", a.SetKeepAliveConfig(net.KeepAliveConfig{}))
			check("off", a, 0, 2, 15, 3)
			a.Close()
			b.Close()
			wantOpError(t, "SetKeepAliveConfig", a.SetKeepAliveConfig(net.KeepAliveConfig{}), "set", ErrClosed)
		})
	})
}
