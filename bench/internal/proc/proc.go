//go:build linux

// Package proc starts the benchmark's children on the CPUs that are theirs, talks to them, ends them, and reads what
// the kernel says of them.
package proc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/bench/internal/control"
)

// Proc is a child in a process group of its own: an interrupt from the terminal reaches the benchmark alone, which
// then ends its children.
type Proc struct {
	cmd    *exec.Cmd
	name   string
	in     io.WriteCloser
	events chan control.Event
	exited chan struct{}
	end    sync.Once
	stderr tail
}

// Start starts argv on cpus, with env added to the environment.
func Start(argv []string, cpus []int, env ...string) (*Proc, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for pipes that a grandchild might hold
	p := &Proc{cmd: cmd, name: filepath.Base(argv[0]), events: make(chan control.Event, 16), exited: make(chan struct{})}
	cmd.Stderr = &p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in = in
	if err := startOn(cmd, cpus); err != nil {
		return nil, err
	}
	go p.read(out)
	return p, nil
}

// startOn starts cmd with cpus as its affinity, which a child inherits from the thread that forks.
func startOn(cmd *exec.Cmd, cpus []int) error {
	if len(cpus) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("sched_setaffinity to CPUs %v: %w", cpus, err)
	}
	defer unix.SchedSetaffinity(0, &old)
	return cmd.Start()
}

// read passes events on until the child's output ends. What is no event is some library's log, and dropped.
func (p *Proc) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e control.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Name != "" {
			p.events <- e
		}
	}
	close(p.events)
	p.cmd.Wait()
	close(p.exited)
}

// PID is the child's process id.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Say writes a line to the child.
func (p *Proc) Say(line string) error {
	_, err := io.WriteString(p.in, line+"\n")
	return err
}

// Wait waits for the event of that name, for as long as limit.
func (p *Proc) Wait(ctx context.Context, name string, limit time.Duration) (control.Event, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case e, ok := <-p.events:
			switch {
			case !ok:
				return e, p.died(name)
			case e.Name == control.Failed:
				return e, errors.New(e.Text)
			case e.Name == name:
				return e, nil
			}
		case <-timer.C:
			return control.Event{}, fmt.Errorf("%s: not %s after %v", p.name, name, limit)
		case <-ctx.Done():
			return control.Event{}, ctx.Err()
		}
	}
}

func (p *Proc) died(name string) error {
	<-p.exited
	text := p.stderr.lastLine()
	if text == "" {
		text = p.cmd.ProcessState.String()
	}
	return fmt.Errorf("%s ended before it was %s: %s", p.name, name, text)
}

// End kills the child and whatever it started, and joins it. It may be called again.
func (p *Proc) End() {
	p.end.Do(func() {
		select {
		case <-p.exited: // its id may be another's by now
		default:
			syscall.Kill(-p.PID(), syscall.SIGKILL)
		}
		for range p.events {
		}
		<-p.exited
		p.in.Close()
	})
}

// tail keeps the end of what is written to it.
type tail struct {
	sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.Lock()
	defer t.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 4096; over > 0 {
		t.buf = t.buf[over:]
	}
	return len(p), nil
}

// lastLine is the line that says most: that of a panic, or the last one.
func (t *tail) lastLine() string {
	t.Lock()
	defer t.Unlock()
	lines := strings.Split(string(bytes.TrimSpace(t.buf)), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") {
			return l
		}
	}
	return lines[len(lines)-1]
}
