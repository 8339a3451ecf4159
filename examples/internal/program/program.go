// Package program lets an example program's tests run it and look at what it does, as its users see it.
package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	_ "github.com/eyewall/eyewall/backend/all" // so that Backends finds eyewall's own
	"github.com/eyewall/eyewall/internal/testenv"
)

// Patience bounds whatever a test waits for.
const Patience = 20 * time.Second

const asProgram = "EYEWALL_TEST_RUNS_PROGRAM"

// Main is for TestMain. It runs the tests or, in a process that Start has started, the program: no other binary is
// built, so the program is as the tests are, with the race detector or not.
func Main(m *testing.M, main func()) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	os.Unsetenv(asProgram)
	flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError) // without package testing's flags
	go func() {
		io.Copy(io.Discard, os.Stdin) // whose other end the tests hold
		os.Exit(99)
	}()
	main()
	os.Exit(0)
}

// Backends runs test for every backend, and every rung of it, that this system has: testenv.Need decides about the
// others.
func Backends(t *testing.T, test func(t *testing.T, name string)) {
	for _, d := range backend.Drivers() {
		name := d.Name
		if d.Rung != "" {
			name += ":" + d.Rung
		}
		t.Run(name, func(t *testing.T) {
			b, err := d.Open(backend.Config{})
			testenv.Need(t, name, err)
			b.Close()
			test(t, name)
		})
	}
}

// NamedBackend is what the first line calls a backend that was chosen by name.
func NamedBackend(name string) string {
	if name, rung, ok := strings.Cut(name, ":"); ok {
		return name + " (" + rung + ")"
	}
	return name
}

// Process is a program that runs. It does not outlive the test.
type Process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
}

// Start starts the program under a name of its own, with arguments and, before them, environment variables (NAME=VALUE).
func Start(t *testing.T, name string, args ...string) *Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{t: t, ended: make(chan struct{})}
	env := append(os.Environ(), asProgram+"=1", backend.EnvVar+"=",
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // or it would take a second longer to end
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") && strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	p.cmd = &exec.Cmd{Path: self, Args: append([]string{name}, args...), Env: env, Stdout: &p.stdout, Stderr: &p.stderr}
	if _, err := p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // its error is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // fails where it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s\n%s%s", strings.Join(p.cmd.Args, " "), p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stdout waits until a line of stdout matches the pattern, and returns it and its groups.
func (p *Process) Stdout(pattern string) []string {
	p.t.Helper()
	return p.await(&p.stdout, pattern)
}

// Stderr does the same for stderr.
func (p *Process) Stderr(pattern string) []string {
	p.t.Helper()
	return p.await(&p.stderr, pattern)
}

func (p *Process) await(out *output, pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	var found []string
	Eventually(p.t, func() error {
		var ended bool
		select {
		case <-p.ended:
			ended = true
		default:
		}
		if found = re.FindStringSubmatch(out.String()); found == nil {
			if ended {
				p.t.Fatalf("the program ended (%v) without a line that matches %s", p.cmd.ProcessState, pattern)
			}
			return fmt.Errorf("no line matches %s", pattern)
		}
		return nil
	})
	return found
}

// Signal sends a signal. Nothing happens where the process has ended.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Wait waits for the end, which must come with that exit status (-1: by a signal), and returns all that was printed.
func (p *Process) Wait(status int) (stdout, stderr string) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		p.t.Fatalf("the program did not end in %v", Patience)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Errorf("the program ended with %v, not with exit status %d", p.cmd.ProcessState, status)
	}
	return p.stdout.String(), p.stderr.String()
}

// Fails runs a program that must end with that status, nothing on stdout, and on stderr one line that matches pattern.
func Fails(t *testing.T, status int, pattern, name string, args ...string) {
	t.Helper()
	stdout, stderr := Start(t, name, args...).Wait(status)
	if stdout != "" {
		t.Errorf("stdout is not empty: %q", stdout)
	}
	CheckLines(t, stderr, pattern)
}

// CheckLines checks that text is one line for each pattern, and that they match.
func CheckLines(t *testing.T, text string, patterns ...string) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	lines = lines[:len(lines)-1] // what follows the last newline
	if strings.Join(lines, "") != text {
		t.Errorf("the last line has no end: %q", text)
	}
	if len(lines) != len(patterns) {
		t.Fatalf("%d lines, not %d: %q", len(lines), len(patterns), text)
	}
	for i, pattern := range patterns {
		if line := strings.TrimSuffix(lines[i], "\n"); !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(line) {
			t.Errorf("line %d is %q; it must match %s", i+1, line, pattern)
		}
	}
}

// Eventually waits until check returns nil.
func Eventually(t *testing.T, check func() error) {
	t.Helper()
	for end := time.Now().Add(Patience); ; time.Sleep(2 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still after %v: %v", Patience, err)
		}
	}
}

// output is what a process has printed.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// Memory is how much memory the process holds, in bytes; 0 where the system does not tell.
func (p *Process) Memory() int {
	p.t.Helper()
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes := 0
	fmt.Sscan(rest, &kilobytes)
	return kilobytes << 10
}
