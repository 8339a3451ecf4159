// Stdnet runs the standard library's own tests of packages net and net/http over eyewall's shared connections.
//
//	go -C tests run ./stdnet                                    # whole, about 12 minutes
//	go -C tests run ./stdnet -ci                                # what .ci/run runs, at most three minutes
//	go -C tests run ./stdnet -backend epoll -suite net/http -run 'TestServe|TestTransport'
//
// The suites are Go's, from GOROOT, and run by go test. Its flag -overlay gives them a package net in which a
// *net.TCPConn or *net.UnixConn can stand for a *reactor.SharedConn, and a *net.TCPListener or *net.UnixListener for a
// *reactor.SharedListener: their methods, when there is one, call its methods. Dialing and listening for "tcp", "tcp4",
// "tcp6" and "unix" goes to one loop of each test process. The edited files are made from GOROOT's at run time, in a
// temporary folder; testdata/net.go is added to them, and testdata/suite_test.go to the suite. An edit that does not
// find its place, a new method of those types, and a run in which nothing went through eyewall are errors.
//
// "net" as a backend is package net as it is: tests that fail over that fail on this machine, and are not counted
// against eyewall if the same run has both. The tests that fail for another reason are listed in differences.go, with
// the reason; those that would not end are not run. The program ends with status 1 on a failure that is not listed, and
// on a listed one that passes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

var (
	suites   = flag.String("suite", "net,net/http", "`packages` whose tests are run")
	backends = flag.String("backend", packageNet+",io_uring:full,epoll", "`names` of backends; net is package net itself")
	run      = flag.String("run", "", "run only tests that match this `pattern`, as of go test")
	short    = flag.Bool("short", false, "tell long-running tests to shorten their run time")
	race     = flag.Bool("race", false, "with the race detector")
	timeout  = flag.Duration("timeout", 20*time.Minute, "of each suite on each backend")
	ci       = flag.Bool("ci", false, "the part that .ci/run runs: -short, on io_uring:full and epoll")
)

const packageNet = "net" // in place of a backend

func main() {
	flag.Parse()
	if *ci {
		*short, *backends = true, "io_uring:full,epoll"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := false
	for _, suite := range strings.Split(*suites, ",") {
		ok, err := compare(ctx, suite)
		if err != nil {
			fmt.Fprintln(os.Stderr, "stdnet:", err)
		}
		failed = failed || !ok || err != nil
	}
	if failed {
		os.Exit(1)
	}
}

// compare runs a suite on each backend and reports whether its failures are the expected ones.
func compare(ctx context.Context, suite string) (ok bool, err error) {
	ok = true
	var here []string // failures of package net on this machine
	for _, backend := range strings.Split(*backends, ",") {
		r, err := test(ctx, suite, backend)
		if err != nil {
			return false, fmt.Errorf("%s over %s: %w", suite, backend, err)
		}
		fmt.Printf("%s over %s: %v\n", suite, backend, r)
		if backend == packageNet {
			here = r.failed
			if r.other != "" {
				return false, fmt.Errorf("%s over package net: %s", suite, r.other)
			}
			continue
		}
		ok = r.judge(suite, here) && ok
	}
	return ok, nil
}

// judge prints the failures with their reasons and reports whether they are the expected ones.
func (r *result) judge(suite string, here []string) bool {
	ok := true
	expected := map[*difference]int{}
	for _, name := range r.failed {
		if d := differenceOf(suite, name, r.output[name]); d != nil {
			expected[d]++
		} else if slices.Contains(here, name) {
			fmt.Printf("    %s: fails over package net, too\n", name)
		} else {
			ok = false
			fmt.Printf("    %s: UNEXPECTED\n%s\n", name, indent(r.output[name]))
		}
	}
	for i := range differences {
		d := &differences[i]
		if d.suite != suite {
			continue
		}
		if d.skipped {
			fmt.Printf("    %s: not run: %s\n", d.test, d.reason)
		} else if n := expected[d]; n > 1 {
			fmt.Printf("    %s (%d subtests): %s\n", d.test, n, d.reason)
		} else if n == 1 {
			fmt.Printf("    %s: %s\n", d.test, d.reason)
		} else if top, _, _ := strings.Cut(d.test, "/"); (r.passed[d.test] || r.passed[top]) && !d.sometimes {
			ok = false
			fmt.Printf("    %s: PASSES, but differences.go lists it as a failure\n", d.test)
		}
	}
	if r.other != "" {
		ok = false
		fmt.Printf("    the suite failed beside its tests: UNEXPECTED\n%s\n", indent(r.other))
	}
	return ok
}

const maxLines = 60 // of the output of a failure

func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if n := len(lines) - maxLines; n > 0 {
		lines = append([]string{fmt.Sprintf("(%d more lines)", n)}, lines[n:]...)
	}
	return "        " + strings.Join(lines, "\n        ")
}
