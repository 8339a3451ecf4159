// This file is added to a suite as part of its external tests: it has package net use eyewall.

package suite_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

// eyewallLoop carries all connections and listeners of the suite.
var eyewallLoop *reactor.Loop

func init() {
	var err error
	eyewallLoop, err = reactor.New() // the backend is EYEWALL_BACKEND
	if err != nil {
		panic(err)
	}
	err = eyewallLoop.Go(func(t reactor.Task) error { // keeps the loop running
		for t.Sleep(time.Hour) == nil {
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	go func() { panic(fmt.Sprint("the loop has ended: ", eyewallLoop.Run(context.Background()))) }()
	net.EyewallDial, net.EyewallListen = eyewallDial, eyewallListen
}

// eyewallCount is a file for each kind of what goes through eyewall, with a byte for each: processes that tests start
// count, too.
type eyewallCount struct{ *os.File }

var (
	eyewallDialed   = eyewallCounter("dialed")
	eyewallAccepted = eyewallCounter("accepted")
	eyewallListened = eyewallCounter("listened")
)

func eyewallCounter(name string) eyewallCount {
	f, err := os.OpenFile(filepath.Join(os.Getenv("EYEWALL_STDNET"), name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		panic(err)
	}
	return eyewallCount{f}
}

func (c eyewallCount) add() {
	if _, err := c.WriteString("."); err != nil {
		panic(err)
	}
}

func eyewallDial(ctx context.Context, d *net.Dialer, network, address string) (net.EyewallConn, error) {
	if !d.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.Deadline)
		defer cancel()
	}
	if d.Cancel != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-d.Cancel:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	control := d.Control
	if d.ControlContext != nil {
		control = func(network, address string, c syscall.RawConn) error {
			return d.ControlContext(ctx, network, address, c)
		}
	}
	dialer := reactor.Dialer{
		Timeout:       d.Timeout,
		LocalAddr:     d.LocalAddr,
		KeepAlive:     eyewallKeepAlive(d.KeepAlive, d.KeepAliveConfig),
		FallbackDelay: d.FallbackDelay,
		Resolver:      d.Resolver,
		Control:       control,
	}
	c, err := dialer.DialContext(ctx, eyewallLoop, network, address)
	if err != nil {
		return nil, err
	}
	eyewallDialed.add()
	shared := c.(*reactor.SharedConn)
	eyewallSetKeepAlive(shared, d.KeepAliveConfig)
	return shared, nil
}

// eyewallKeepAlive is the time for a Dialer or a ListenConfig of eyewall, of which neither has a KeepAliveConfig.
func eyewallKeepAlive(d time.Duration, config net.KeepAliveConfig) time.Duration {
	if config.Enable {
		return -1 // none; eyewallSetKeepAlive sets it
	}
	return d
}

// eyewallSetKeepAlive sets up a connection by a KeepAliveConfig. As in package net, an error is nobody's.
func eyewallSetKeepAlive(c *reactor.SharedConn, config net.KeepAliveConfig) {
	if config.Enable {
		c.SetKeepAliveConfig(config)
	}
}

func eyewallListen(ctx context.Context, lc *net.ListenConfig, network, address string) (net.EyewallListener, error) {
	var ln *reactor.SharedListener
	cfg := reactor.ListenConfig{KeepAlive: eyewallKeepAlive(lc.KeepAlive, lc.KeepAliveConfig), Control: lc.Control}
	made := make(chan error, 1)
	err := eyewallLoop.Go(func(t reactor.Task) error {
		made <- t.With(ctx, func() error {
			own, err := cfg.Listen(t, network, address)
			if err == nil {
				ln = own.Shared()
			}
			return err
		})
		return nil
	})
	if err == nil {
		err = <-made
	}
	if err != nil {
		return nil, err
	}
	eyewallListened.add()
	return eyewallListener{ln, lc.KeepAliveConfig}, nil
}

// eyewallListener counts what it accepts.
type eyewallListener struct {
	*reactor.SharedListener
	keepAlive net.KeepAliveConfig
}

func (ln eyewallListener) Accept() (net.Conn, error) {
	c, err := ln.SharedListener.Accept()
	if err != nil {
		return nil, err
	}
	eyewallAccepted.add()
	eyewallSetKeepAlive(c.(*reactor.SharedConn), ln.keepAlive)
	return c, nil
}
