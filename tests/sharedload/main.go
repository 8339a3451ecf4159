// Sharedload measures what libraries that use goroutines cost over connections of Listener.Shared, beside package net's:
// processor time of the server for each request.
//
//	go -C tests run ./sharedload -conns 16 -rounds 5 -time 2s
//
// The servers run on processor 0 and their clients, wrk and redis-benchmark, on processor 1 (taskset). They are measured
// in turn, in rounds, after a short run of each that does not count; the table has medians, and their ratios to net's.
// Processor time is user and system time of the process (proc(5)), in ticks of 10 ms; what interrupts cost is not in it.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/eyewall/eyewall/tests/internal/measured"
)

// onNet is the name of package net in the place of a backend's.
const onNet = "net"

// server is one that runs, and what was measured of it.
type server struct {
	*measured.Server
	rate []float64 // requests per second
	cost []float64 // processor time for a request, in microseconds
}

var file = flag.String("file", "", "the `file` that a server sends; its parent uses this")

func main() {
	conns := flag.Int("conns", 16, "connections")
	rounds := flag.Int("rounds", 5, "how often each server is measured")
	length := flag.Duration("time", 2*time.Second, "how long each time, in whole seconds")
	backends := flag.String("backends", "io_uring:full,epoll", "`names` of backends")
	only := flag.String("only", "", "the only `case` that is measured")
	serve := flag.String("serve", "", "be the server of that case and backend; its parent uses this")
	flag.Parse()
	if *serve != "" {
		name, backend, _ := strings.Cut(*serve, ",")
		fail(serveCase(name, backend))
	}
	for _, tool := range []string{"wrk", "redis-benchmark", "taskset"} {
		_, err := exec.LookPath(tool)
		fail(err)
	}
	dir, err := os.MkdirTemp("", "sharedload")
	fail(err)
	*file = filepath.Join(dir, "file")
	fail(os.WriteFile(*file, bytes.Repeat([]byte("x"), size), 0o600))
	fmt.Printf("%d connections, %d rounds of %v\n\n", *conns, *rounds, *length)
	fmt.Printf("%-14s %-16s %12s %8s %12s %8s\n", "", "", "requests/s", "net", "us of CPU", "net")
	for _, c := range cases {
		if err == nil && (*only == "" || *only == c.name) {
			err = c.measure(append([]string{onNet}, strings.Split(*backends, ",")...), *conns, *rounds, *length)
		}
	}
	os.RemoveAll(dir)
	fail(err)
}

// measure measures one case on each backend, and prints its rows.
func (c *testCase) measure(backends []string, conns, rounds int, length time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var servers []*server
	defer func() {
		for _, s := range servers {
			s.Stop()
		}
	}()
	for _, name := range backends {
		child, err := measured.Start(name, 0, self, "-file", *file, "-serve", c.name+","+name)
		if err != nil {
			return err
		}
		s := &server{Server: child}
		servers = append(servers, s)
		if _, err := c.load(s, conns, time.Second); err != nil {
			return err
		}
	}
	for range rounds {
		for _, s := range servers {
			before, err := s.Used()
			if err != nil {
				return err
			}
			rate, err := c.load(s, conns, length)
			if err != nil {
				return err
			}
			after, err := s.Used()
			if err != nil {
				return err
			}
			s.rate = append(s.rate, rate.perSecond)
			s.cost = append(s.cost, float64((after-before).Nanoseconds())/1e3/rate.requests)
		}
	}
	net := servers[0]
	for _, s := range servers {
		fmt.Printf("%-14s %-16s %12.0f %7.2fx %12.2f %7.2fx\n", c.name, s.Name,
			measured.Median(s.rate), measured.Median(s.rate)/measured.Median(net.rate),
			measured.Median(s.cost), measured.Median(s.cost)/measured.Median(net.cost))
	}
	return nil
}

// rate is what a client has done.
type rate struct{ requests, perSecond float64 }

var (
	wrkDone   = regexp.MustCompile(`(\d+) requests in`)
	wrkRate   = regexp.MustCompile(`Requests/sec: *([\d.]+)`)
	wrkWrong  = regexp.MustCompile(`Socket errors.*|Non-2xx.*`)
	redisRate = regexp.MustCompile(`GET: ([\d.]+) requests per second`)
)

// wrk has wrk get path.
func wrk(path string, header ...string) func(s *server, conns int, length time.Duration) (rate, error) {
	return func(s *server, conns int, length time.Duration) (rate, error) {
		args := []string{"-c", "1", "wrk", "-t1", fmt.Sprintf("-c%d", conns), fmt.Sprintf("-d%ds", int(length.Seconds()))}
		for _, h := range header {
			args = append(args, "-H", h)
		}
		out, err := exec.Command("taskset", append(args, "http://"+s.Addr+path)...).CombinedOutput()
		done, per := wrkDone.FindSubmatch(out), wrkRate.FindSubmatch(out)
		if err != nil || done == nil || per == nil || wrkWrong.Match(out) {
			return rate{}, fmt.Errorf("wrk to %s: %v\n%s", s.Name, err, out)
		}
		n, err := strconv.ParseFloat(string(done[1]), 64)
		if err != nil {
			return rate{}, err
		}
		perSecond, err := strconv.ParseFloat(string(per[1]), 64)
		return rate{n, perSecond}, err
	}
}

// redis has redis-benchmark get a key: 30,000 times for each second, for it cannot be told how long.
func redis(s *server, conns int, length time.Duration) (rate, error) {
	n := 30_000 * int(length.Seconds())
	host, port, _ := strings.Cut(s.Addr, ":")
	out, err := exec.Command("taskset", "-c", "1", "redis-benchmark", "-h", host, "-p", port, "-q",
		"-c", strconv.Itoa(conns), "-n", strconv.Itoa(n), "-t", "get").CombinedOutput()
	found := redisRate.FindAllSubmatch(out, -1)
	if err != nil || found == nil {
		return rate{}, fmt.Errorf("redis-benchmark to %s: %v\n%s", s.Name, err, out)
	}
	perSecond, err := strconv.ParseFloat(string(found[len(found)-1][1]), 64)
	return rate{float64(n), perSecond}, err
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sharedload:", err)
		os.Exit(1)
	}
}
