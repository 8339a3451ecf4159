// Webload measures examples/http, which is fasthttp in tasks, beside fasthttp and net/http over package net: requests per
// second under wrk, and the processor time of the server for each.
//
//	go -C tests run ./webload -conns 64 -rounds 3 -time 2s
//
// The servers run on processor 0 and wrk on processor 1 (taskset). They are measured in turn, in rounds, after a short
// run of each that does not count; the table has medians, and their ratios to those of net/http and of fasthttp over net.
// Processor time is user and system time of the process (proc(5)), in ticks of 10 ms; what interrupts cost is not in it.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/eyewall/eyewall/tests/internal/measured"
)

// peers are what eyewall is measured beside.
var peers = map[string]func() error{"net/http": serveNetHTTP, "fasthttp on net": serveFasthttp}

func main() {
	conns := flag.Int("conns", 64, "connections")
	rounds := flag.Int("rounds", 3, "how often each server is measured")
	length := flag.Duration("time", 2*time.Second, "how long each time, in whole seconds")
	example := flag.String("example", "../examples/http", "`directory` of the example")
	backends := flag.String("backends", "io_uring:full,epoll", "`names` of eyewall's backends")
	serve := flag.String("serve", "", "be the server of that `name`; its parent uses this")
	flag.Parse()
	if *serve != "" {
		fail(peers[*serve]())
	}
	for _, tool := range []string{"wrk", "taskset"} {
		_, err := exec.LookPath(tool)
		fail(err)
	}
	dir, err := os.MkdirTemp("", "webload")
	fail(err)
	servers, err := startAll(dir, *example, strings.Split(*backends, ","))
	if err == nil {
		err = measure(servers, *conns, *rounds, *length)
	}
	for _, s := range servers {
		s.Stop()
	}
	os.RemoveAll(dir)
	fail(err)
	fmt.Printf("%d connections, %d rounds of %v\n\n", *conns, *rounds, *length)
	report(servers)
}

// server is one that runs, and what was measured of it.
type server struct {
	*measured.Server
	rate []float64 // requests per second
	cost []float64 // processor time for a request, in microseconds
}

func (s *server) url() string { return "http://" + s.Addr + "/" }

func startAll(dir, example string, backends []string) (servers []*server, err error) {
	binary, err := measured.Build(example, dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"net/http", "fasthttp on net"} {
		s, err := start(name, self, "-serve", name)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	for _, name := range backends {
		s, err := start("eyewall, "+name, binary, "-addr", "127.0.0.1:0", "-backend", name)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// start starts a server and has it answer.
func start(name string, command ...string) (*server, error) {
	child, err := measured.Start(name, 0, command...)
	if err != nil {
		return nil, err
	}
	s := &server{Server: child}
	if err := s.try(); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func (s *server) try() error {
	answer, err := http.Get(s.url())
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != hello {
		return fmt.Errorf("it answers %q, %v", body, err)
	}
	return nil
}

func measure(servers []*server, conns, rounds int, length time.Duration) error {
	for _, s := range servers {
		if _, err := s.load(conns, time.Second); err != nil {
			return err
		}
	}
	for range rounds {
		for _, s := range servers {
			before, err := s.Used()
			if err != nil {
				return err
			}
			begin := time.Now()
			requests, err := s.load(conns, length)
			if err != nil {
				return err
			}
			took := time.Since(begin)
			after, err := s.Used()
			if err != nil {
				return err
			}
			s.rate = append(s.rate, float64(requests)/took.Seconds())
			s.cost = append(s.cost, float64((after-before).Nanoseconds())/1e3/float64(requests))
		}
	}
	return nil
}

var (
	done  = regexp.MustCompile(`(\d+) requests in`)
	wrong = regexp.MustCompile(`Socket errors.*|Non-2xx.*`)
)

// load has wrk send requests, and returns how many were answered.
func (s *server) load(conns int, length time.Duration) (int, error) {
	out, err := exec.Command("taskset", "-c", "1", "wrk", "-t1", fmt.Sprintf("-c%d", conns),
		fmt.Sprintf("-d%ds", int(length.Seconds())), s.url()).CombinedOutput()
	found := done.FindSubmatch(out)
	if err != nil || found == nil || wrong.Match(out) {
		return 0, fmt.Errorf("wrk to %s: %v\n%s", s.Name, err, out)
	}
	return strconv.Atoi(string(found[1]))
}

func report(servers []*server) {
	web, fast := servers[0], servers[1]
	fmt.Printf("%-24s %10s %10s %10s %12s %10s %10s\n", "", "requests/s", "net/http", "fasthttp", "us of CPU", "net/http", "fasthttp")
	for _, s := range servers {
		fmt.Printf("%-24s %10.0f %9.2fx %9.2fx %12.2f %9.2fx %9.2fx\n", s.Name,
			measured.Median(s.rate), measured.Median(s.rate)/measured.Median(web.rate), measured.Median(s.rate)/measured.Median(fast.rate),
			measured.Median(s.cost), measured.Median(s.cost)/measured.Median(web.cost), measured.Median(s.cost)/measured.Median(fast.cost))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "webload:", err)
		os.Exit(1)
	}
}
