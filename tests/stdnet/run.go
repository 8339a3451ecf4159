package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// result is what go test told of a suite.
type result struct {
	passed map[string]bool   // tests and subtests
	failed []string          // those of which no subtest failed
	output map[string]string // of those that did not pass
	other  string            // why the suite failed if no test did

	counts map[string]int   // of tests without subtests, by "pass", "fail" and "skip"
	used   map[string]int64 // what went through eyewall, by the names of testdata/suite_test.go
	took   time.Duration
}

func (r *result) String() string {
	s := fmt.Sprintf("%d tests passed, %d failed, %d skipped", r.counts["pass"], r.counts["fail"], r.counts["skip"])
	if r.used != nil {
		s += fmt.Sprintf("; %d connections dialed and %d accepted, %d listeners",
			r.used["dialed"], r.used["accepted"], r.used["listened"])
	}
	return fmt.Sprintf("%s; %v", s, r.took.Round(time.Second))
}

// test runs a suite on a backend.
func test(ctx context.Context, suite, backend string) (*result, error) {
	dir, err := os.MkdirTemp("", "stdnet")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	args := []string{"test", "-json", "-count=1", "-vet=off", "-timeout", timeout.String(), "-run", *run}
	if *short {
		args = append(args, "-short")
	}
	if *race {
		args = append(args, "-race")
	}
	env := append(os.Environ(), toolchain)
	if backend != packageNet {
		root, err := goroot()
		if err != nil {
			return nil, err
		}
		list, err := overlay(root, suite, dir)
		if err != nil {
			return nil, err
		}
		args = append(args, "-overlay", list, "-skip", skipped(suite))
		env = append(env, "EYEWALL_BACKEND="+backend, "EYEWALL_STDNET="+dir)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, suite)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends the tests then
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	since := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r, err := read(out)
	ended := cmd.Wait()
	if err != nil {
		return nil, err
	}
	r.took = time.Since(since)
	if ended != nil && len(r.failed) == 0 {
		r.other += stderr.String() + ended.Error()
	}
	if backend == packageNet {
		return r, nil
	}
	r.used = map[string]int64{}
	for _, name := range []string{"dialed", "accepted", "listened"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			r.used[name] = info.Size()
		}
	}
	if r.other == "" && (r.used["listened"] == 0 || r.used["dialed"]+r.used["accepted"] == 0) {
		return nil, errors.New("nothing went through eyewall")
	}
	return r, nil
}

// goroot is that of the go command that runs the tests.
func goroot() (string, error) {
	cmd := exec.Command("go", "env", "GOROOT")
	cmd.Env = append(os.Environ(), toolchain)
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

const toolchain = "GOTOOLCHAIN=local"

// read reads the output of go test -json.
func read(from io.Reader) (*result, error) {
	r := &result{passed: map[string]bool{}, output: map[string]string{}, counts: map[string]int{}}
	unended := map[string]bool{}
	fail := func(test string) {
		for _, name := range r.failed {
			if strings.HasPrefix(name, test+"/") { // subtests end before their test
				return
			}
		}
		r.failed = append(r.failed, test)
	}
	for dec := json.NewDecoder(from); ; {
		var e struct{ Action, Test, Output string }
		if err := dec.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if e.Test == "" {
			if e.Action == "output" || e.Action == "build-output" {
				r.other += e.Output
			}
			if e.Action == "pass" {
				r.other = ""
			}
			continue
		}
		switch e.Action {
		case "run":
			unended[e.Test] = true
		case "output":
			r.output[e.Test] += e.Output
		case "pass", "fail", "skip":
			delete(unended, e.Test)
			if !strings.Contains(e.Test, "/") {
				r.counts[e.Action]++
			}
		}
		switch e.Action {
		case "pass":
			r.passed[e.Test] = true
			delete(r.output, e.Test)
		case "fail":
			fail(e.Test)
		}
	}
	for _, test := range slices.Backward(slices.Sorted(maps.Keys(unended))) { // a subtest comes before its test
		fail(test)
		r.output[test] += "(the suite ended before it did)\n"
	}
	if len(r.failed) > 0 && len(unended) == 0 {
		r.other = ""
	}
	return r, nil
}
