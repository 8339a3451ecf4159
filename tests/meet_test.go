package tests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

// patience bounds whatever a test waits for.
const patience = 20 * time.Second

// talk is one end of a connection, whose waits are the connection's only: it runs in a task or in a goroutine. It may
// close the connection, which is closed afterwards in any case.
type talk func(c net.Conn) error

// meeting is where the two ends of a connection run: in a task, over an eyewall connection, or in a goroutine, over
// package net's.
type meeting struct {
	loop                   *reactor.Loop
	serverTask, clientTask bool
}

// eachMeeting runs test on every backend for a server in tasks, for a client in tasks, and for both.
func eachMeeting(t *testing.T, test func(t *testing.T, m meeting)) {
	t.Helper()
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		for name, m := range map[string]meeting{
			"server": {l, true, false},
			"client": {l, false, true},
			"both":   {l, true, true},
		} {
			t.Run(name, func(t *testing.T) { test(t, m) })
		}
	})
}

// run connects server and client, and returns what they return.
func (m meeting) run(server, client talk) (serverErr, clientErr error) {
	addr := make(chan string, 1)
	served, called := make(chan error, 1), make(chan error, 1)
	if m.serverTask {
		m.loop.Go(func(task reactor.Task) error {
			ln, err := reactor.Listen(task, "tcp", "127.0.0.1:0")
			served <- accept(ln, err, addr, server)
			return nil
		})
	} else {
		go func() {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			served <- accept(ln, err, addr, server)
		}()
	}
	var to string
	select {
	case to = <-addr:
	case err := <-served:
		return err, nil
	}
	if m.clientTask {
		m.loop.Go(func(task reactor.Task) error {
			c, err := reactor.Dial(task, "tcp", to)
			called <- hold(c, err, client)
			return nil
		})
	} else {
		go func() {
			c, err := net.Dial("tcp", to)
			called <- hold(c, err, client)
		}()
	}
	return result("server", served), result("client", called)
}

// good is run for ends that both must return nil.
func (m meeting) good(t *testing.T, server, client talk) {
	t.Helper()
	serverErr, clientErr := m.run(server, client)
	if serverErr != nil || clientErr != nil {
		t.Fatalf("server: %v, client: %v", serverErr, clientErr)
	}
}

// accept takes one connection.
func accept(ln net.Listener, err error, addr chan<- string, server talk) error {
	if err != nil {
		return err
	}
	addr <- ln.Addr().String()
	c, err := ln.Accept()
	ln.Close()
	return hold(c, err, server)
}

// hold gives c to its end, and sees to it that neither lasts for ever.
func hold(c net.Conn, err error, end talk) (result error) {
	if err != nil {
		return err
	}
	defer c.Close()
	defer func() {
		if v := recover(); v != nil {
			result = fmt.Errorf("panic: %v", v)
		}
	}()
	c.SetDeadline(time.Now().Add(patience))
	return end(c)
}

func result(who string, from <-chan error) error {
	select {
	case err := <-from:
		return err
	case <-time.After(patience + 10*time.Second):
		return fmt.Errorf("the %s does not end", who)
	}
}

// inTask runs fn as a task of l, and waits for it.
func inTask(t *testing.T, l *reactor.Loop, fn func(task reactor.Task) error) error {
	t.Helper()
	done := make(chan error, 1)
	must(t, "Go", l.Go(func(task reactor.Task) error {
		done <- fn(task)
		return nil
	}))
	return result("task", done)
}

// leavesNothing calls use once, for what is made at first use, and then again n times; these may leave no descriptor, no
// connection, no task and no goroutine.
func leavesNothing(t *testing.T, l *reactor.Loop, n int, use func(i int)) {
	t.Helper()
	use(0)
	eventually(t, func() error { return quiet(t, l) })
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	for i := range n {
		use(i)
	}
	eventually(t, func() error {
		if now := descriptors(t); now > fds {
			return fmt.Errorf("%d descriptors, %d before", now, fds)
		}
		if now := runtime.NumGoroutine(); now > goroutines {
			return fmt.Errorf("%d goroutines, %d before", now, goroutines)
		}
		return quiet(t, l)
	})
}

// quiet tells whether nothing is open on l, and no task is there but the one that keeps it running.
func quiet(t *testing.T, l *reactor.Loop) error {
	t.Helper()
	answer := make(chan reactor.Stats, 1)
	must(t, "Post", l.Post(func() { answer <- l.Stats() }))
	if s := <-answer; s.Tasks > 1 || s.Conns > 0 {
		return fmt.Errorf("%d tasks, %d connections", s.Tasks, s.Conns)
	}
	return nil
}

// descriptors is how many the process has, where the system tells.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(list)
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
