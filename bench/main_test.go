//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

// asProgram makes the test binary the program that is tested; its children inherit it.
const asProgram = "EYEWALL_BENCH_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if err := giveUp(os.Getenv(without)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
		main()
		return
	}
	os.Exit(m.Run())
}

// program is a run of the benchmark. Its processes can be told by a mark in their environment.
type program struct {
	*exec.Cmd
	mark           string
	stdout, stderr bytes.Buffer
}

func newProgram(t *testing.T, args ...string) *program {
	p := &program{Cmd: exec.Command(os.Args[0], args...), mark: fmt.Sprintf("%s=%d.%d", asProgram, os.Getpid(), time.Now().UnixNano())}
	p.Env = append(os.Environ(), p.mark)
	p.Dir = t.TempDir()
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	return p
}

// finish waits for the program, and fails unless it ends with status.
func (p *program) finish(t *testing.T, status int) {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() { p.Process.Kill() })
	defer timer.Stop()
	p.Wait()
	if got := p.ProcessState.ExitCode(); got != status {
		t.Fatalf("status %d (%v), want %d\n%s%s", got, p.ProcessState, status, p.stdout.String(), p.stderr.String())
	}
}

// left lists processes of the program that are there.
func (p *program) left() (list []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range environs {
		env, err := os.ReadFile(e)
		if err == nil && slices.Contains(strings.Split(string(env), "\x00"), p.mark) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(e), "cmdline"))
			list = append(list, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return list
}

// gone fails unless all processes of the program end soon.
func (p *program) gone(t *testing.T) {
	t.Helper()
	for range 100 {
		if len(p.left()) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("still there: %q", p.left())
}

func (p *program) page(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(p.Dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	if !strings.HasPrefix(text, "<!DOCTYPE html>") || !strings.Contains(text, "<svg") || !strings.HasSuffix(strings.TrimSpace(text), "</html>") {
		t.Errorf("that is no report: %.200s", text)
	}
	return text
}

func (p *program) rows(t *testing.T) *rows.Run {
	t.Helper()
	run, err := rows.ReadFile(filepath.Join(p.Dir, "rows.json"))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// small is flags that make a run as small as can be.
var small = []string{"-backends", "epoll,select", "-conns", "1,20", "-sizes", "64,5000", "-pipeline", "1,3", "-idle", "130",
	"-rounds", "1", "-duration", "30ms", "-warmup", "5ms", "-json", "rows.json"}

// crowded is how the crowd is measured, which takes to be asked for.
var crowded = []string{"-measure", "crowd", "-crowd", "0,70"}

func TestMiniature(t *testing.T) {
	p := newProgram(t, append(small, "-rates", "500")...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.finish(t, 0)
	p.gone(t)
	run := p.rows(t)
	if run.Foot.Interrupted || len(run.Rows) != run.Foot.Planned {
		t.Errorf("%d rows of %d planned: %v", len(run.Rows), run.Foot.Planned, run.Foot.Notes)
	}
	for _, r := range run.Rows {
		switch {
		case r.Failed != "":
			t.Errorf("%s, %v: %s", r.Server, r.Cell, r.Failed)
		case r.Kind == rows.Memory:
			if r.RSS == 0 || r.BaseRSS == 0 {
				t.Errorf("%+v", r)
			}
		case r.CPU <= 0 || r.PerSecond <= 0 || r.P99 < r.P50 || r.Allocs == nil || r.Syscalls == nil || *r.Syscalls <= 0:
			t.Errorf("%+v", r)
		}
	}
	text := p.stdout.String()
	for _, want := range []string{"ratio", "epoll task", "select handler", "Latency at 500", "Memory per idle connection", "Connections accepted"} {
		if !strings.Contains(text, want) {
			t.Errorf("the terminal lacks %q:\n%s", want, text)
		}
	}
	if page := p.page(t); !strings.Contains(page, "select handler") {
		t.Error("the report lacks a server")
	}

	again := newProgram(t, "-from", filepath.Join(p.Dir, "rows.json"), "-compare", filepath.Join(p.Dir, "rows.json"))
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	again.finish(t, 0)
	if !strings.Contains(again.page(t), "Beside the run of") || !strings.Contains(again.stdout.String(), "Beside the run of") {
		t.Error("nothing was compared")
	}
}

func TestPeers(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("peers are built with the go command, which is not here")
	}
	p := newProgram(t, append(small, "-peers", "-backends", "", "-measure", "load,memory", "-conns", "20", "-sizes", "64", "-pipeline", "1")...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.finish(t, 0)
	p.gone(t)
	run := p.rows(t)
	if len(run.Rows) != 2*len(peers) {
		t.Errorf("%d rows: %v", len(run.Rows), run.Foot.Notes)
	}
	for _, r := range run.Rows {
		if r.Failed != "" {
			t.Errorf("%s, %v: %s", r.Server, r.Cell, r.Failed)
		}
	}
}

func TestCrowd(t *testing.T) {
	p := newProgram(t, slices.Concat(small, crowded, []string{"-busy-poll", "20us"})...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.finish(t, 0)
	p.gone(t)
	run := p.rows(t)
	if len(run.Rows) != 2*4 || run.Head.Polling != 20e-6 {
		t.Errorf("%d rows, busy polling for %v s: %v", len(run.Rows), run.Head.Polling, run.Foot.Notes)
	}
	for _, r := range run.Rows {
		if r.Failed != "" || r.CPU <= 0 || r.Idle != 0 && r.Idle != 70 {
			t.Errorf("%+v", r)
		}
	}
	if text := p.stdout.String(); !strings.Contains(text, "by idle connections") || !strings.Contains(text, "Busy polling") {
		t.Errorf("the terminal lacks the table, or the busy polling:\n%s", text)
	}
	if !strings.Contains(p.page(t), "busy polling for") {
		t.Error("the report does not say that loops polled")
	}
}

// start starts a long run and waits until it has measured something.
func start(t *testing.T, p *program) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		data, _ := os.ReadFile(filepath.Join(p.Dir, "rows.json"))
		if bytes.Count(data, []byte("\n")) >= 3 && len(p.left()) > 1 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.Process.Kill()
	t.Fatalf("nothing was measured\n%s", p.stderr.String())
}

func TestInterrupt(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p := newProgram(t, append(small, "-rounds", "500")...)
		start(t, p)
		p.Process.Signal(sig)
		p.finish(t, 130)
		if left := p.left(); len(left) > 0 {
			t.Errorf("%v: still there: %q", sig, left)
		}
		if run := p.rows(t); !run.Foot.Interrupted || len(run.Rows) < 2 || len(run.Rows) >= run.Foot.Planned {
			t.Errorf("%v: %d rows, %+v", sig, len(run.Rows), run.Foot)
		}
		if !strings.Contains(p.page(t), "interrupted") || !strings.Contains(p.stdout.String(), "interrupted") {
			t.Errorf("%v: it does not say that it was interrupted", sig)
		}
	}
}

// A benchmark that is killed cannot end its children, so they have to see to it themselves.
func TestKill(t *testing.T) {
	p := newProgram(t, append(small, "-rounds", "500")...)
	start(t, p)
	p.Process.Kill()
	p.Wait()
	p.gone(t)
	if run := p.rows(t); len(run.Rows) < 2 {
		t.Errorf("%d rows", len(run.Rows))
	}
}

func TestMisuse(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-nothing", "-nothing"},
		{"argument", `unexpected argument "argument"`},
		{"-backends kqueue", `"kqueue"`},
		{"-backends epoll:fast", `"epoll:fast"`},
		{"-backends ,", "empty"},
		{"-backends=", "no server"},
		{"-forms thread", `"thread" is none of task, handler`},
		{"-peers=netty", `"netty" is none of net, gnet`},
		{"-measure speed", `"speed" is none of`},
		{"-measure=", "-measure"},
		{"-conns 0", `"0" is no number from 1`},
		{"-conns 1,x", `"x" is no number from 1`},
		{"-sizes -5", `"-5" is no number from 1`},
		{"-pipeline 9999", `"9999" is no number from 1 to 4096`},
		{"-sizes 1000000 -pipeline 100", "-pipeline 100"},
		{"-rates 0", `"0" is no rate`},
		{"-rates NaN", `"NaN" is no rate`},
		{"-idle 0", "-idle is 0"},
		{"-rounds 0", "-rounds is 0"},
		{"-rounds x", "-rounds"},
		{"-loops 0", "-loops is 0"},
		{"-crowd -1 -measure crowd", `"-1" is no number from 0`},
		{"-crowd 5", "-crowd is for -measure crowd"},
		{"-crowd= -measure crowd", "no number"},
		{"-accept two", `"two" is none of each, one`},
		{"-accept one", "-loops is 1"},
		{"-accept= -loops 2", "no server"},
		{"-busy-poll -1ms", "-busy-poll is -1ms"},
		{"-busy-poll 1h", "-busy-poll is 1h"},
		{"-busy-poll x", "-busy-poll"},
		{"-duration 1", "-duration"},
		{"-duration 1us", "-duration is 1µs"},
		{"-warmup -1s", "-warmup is -1s"},
		{"-server-cpus x", `"x" is no list of CPUs`},
		{"-client-cpus 1023", "CPU 1023"},
		{"-json none/x", "-json"},
		{"-report none/x", "-report"},
		{"-compare none", "-compare"},
		{"-from none", "-from"},
		{"-compare rows.json", "-compare"},
		{"-json rows.json -compare rows.json", "overwrite"},
	} {
		p := newProgram(t, strings.Fields(c.args)...)
		os.WriteFile(filepath.Join(p.Dir, "rows.json"), []byte("something else\n"), 0o666)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		p.finish(t, 2)
		text := p.stderr.String()
		if !strings.HasPrefix(text, "bench: ") || strings.Count(text, "\n") != 1 || !strings.Contains(text, c.says) || p.stdout.Len() > 0 {
			t.Errorf("%s: %q%q", c.args, p.stdout.String(), text)
		}
		if kept, _ := os.ReadFile(filepath.Join(p.Dir, "rows.json")); string(kept) != "something else\n" {
			t.Errorf("%s: changed a file", c.args)
		}
	}
}

func TestHelp(t *testing.T) {
	p := newProgram(t, "-help")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.finish(t, 0)
	if !strings.Contains(p.stdout.String(), "-backends") || p.stderr.Len() > 0 {
		t.Errorf("%q %q", p.stdout.String(), p.stderr.String())
	}
}
