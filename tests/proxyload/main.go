// Proxyload measures examples/proxy beside a proxy of io.Copy on package net: messages per second that go through and come
// back, and the processor time of the proxy for each.
//
//	go -C tests run ./proxyload -conns 10 -rounds 3 -time 1s
//
// The proxies run on processor 0, what they connect to and the client on processor 1 (taskset). They are measured in turn,
// in rounds, after a short run of each that does not count; the table has medians, and their ratios to those of net.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eyewall/eyewall/tests/internal/measured"
)

var (
	conns    = flag.Int("conns", 10, "connections")
	rounds   = flag.Int("rounds", 3, "how often each proxy is measured")
	length   = flag.Duration("time", time.Second, "how long each time")
	sizes    = flag.String("sizes", "64,4096,16384,65536,262144,1048576", "`bytes` of a message")
	backends = flag.String("backends", "io_uring:full,epoll", "`names` of eyewall's backends")
	role     = flag.String("role", "", "what a child of this program is; its parent uses this")
	to       = flag.String("to", "", "where a child connects to; likewise")
)

func main() {
	flag.Parse()
	switch *role {
	case "":
		fail(compare())
	case "echo":
		fail(serve(func(c net.Conn) { io.Copy(struct{ io.Writer }{c}, c) }))
	case "net":
		fail(serve(proxy))
	case "client":
		size, err := strconv.Atoi(*sizes)
		fail(err)
		fail(load(size))
	}
}

// serve serves connections on package net.
func serve(conn func(net.Conn)) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening on %v\n", ln.Addr())
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			conn(c)
		}()
	}
}

// proxy is what one writes on package net, whose io.Copy splices as well.
func proxy(c net.Conn) {
	out, err := net.Dial("tcp", *to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		io.Copy(out, c)
		out.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(c, out)
}

// load sends messages of one size and checks what comes back, for a while, and prints how many.
func load(size int) error {
	sent := bytes.Repeat([]byte("a message, "), size/11+1)[:size]
	var messages atomic.Int64
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	end := time.Now().Add(*length)
	for range *conns {
		c, err := net.Dial("tcp", *to)
		if err != nil {
			return err
		}
		all.Go(func() {
			defer c.Close()
			c.SetDeadline(end.Add(10 * time.Second))
			got := make([]byte, size)
			for time.Now().Before(end) {
				var wrote sync.WaitGroup
				if size > 1<<16 { // which may not fit in what lies between
					wrote.Go(func() { c.Write(sent) })
				} else {
					c.Write(sent)
				}
				_, err := io.ReadFull(c, got)
				wrote.Wait()
				if err == nil && !bytes.Equal(got, sent) {
					err = fmt.Errorf("other bytes came back")
				}
				if err != nil {
					failed.Store(&err)
					return
				}
				messages.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	fmt.Println(messages.Load())
	return nil
}

// result is what was measured of one proxy with messages of one size.
type result struct{ rate, cost []float64 }

func compare() error {
	_, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "proxyload")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	example, err := measured.Build("../examples/proxy", dir)
	if err != nil {
		return err
	}
	echo, err := measured.Start("echo", 1, self, "-role", "echo")
	if err != nil {
		return err
	}
	defer echo.Stop()
	peer, err := measured.Start("net, io.Copy", 0, self, "-role", "net", "-to", echo.Addr)
	if err != nil {
		return err
	}
	defer peer.Stop()
	proxies := []*measured.Server{peer}
	for name := range strings.SplitSeq(*backends, ",") {
		s, err := measured.Start("eyewall, "+name, 0, example, "-addr", "127.0.0.1:0", "-to", echo.Addr, "-backend", name)
		if err != nil {
			return err
		}
		defer s.Stop()
		proxies = append(proxies, s)
	}
	fmt.Printf("%d connections, %d rounds of %v\n\n%10s  %-24s %12s %8s %14s %8s\n", *conns, *rounds, *length,
		"bytes", "", "messages/s", "to net", "us of CPU each", "to net")
	for size := range strings.SplitSeq(*sizes, ",") {
		results := make([]result, len(proxies))
		for round := range *rounds + 1 {
			for i, p := range proxies {
				rate, cost, err := measure(self, p, size)
				if err != nil {
					return fmt.Errorf("%s, messages of %s bytes: %w", p.Name, size, err)
				}
				if r := &results[i]; round > 0 {
					r.rate, r.cost = append(r.rate, rate), append(r.cost, cost)
				}
			}
		}
		net := results[0]
		for i, r := range results {
			fmt.Printf("%10s  %-24s %12.0f %7.2fx %14.2f %7.2fx\n", size, proxies[i].Name,
				measured.Median(r.rate), measured.Median(r.rate)/measured.Median(net.rate),
				measured.Median(r.cost), measured.Median(r.cost)/measured.Median(net.cost))
		}
	}
	return nil
}

// measure has a client send messages through a proxy.
func measure(self string, p *measured.Server, size string) (rate, cost float64, err error) {
	before, err := p.Used()
	if err != nil {
		return 0, 0, err
	}
	client := exec.Command("taskset", "-c", "1", self, "-role", "client", "-to", p.Addr, "-sizes", size,
		"-conns", strconv.Itoa(*conns), "-time", length.String())
	client.Stderr = os.Stderr
	out, err := client.Output()
	if err != nil {
		return 0, 0, err
	}
	messages, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return 0, 0, err
	}
	after, err := p.Used()
	return float64(messages) / length.Seconds(), float64((after - before).Nanoseconds()) / 1e3 / float64(messages), err
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "proxyload:", err)
		os.Exit(1)
	}
}
