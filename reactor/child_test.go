package reactor

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childVar names the environment variable that makes the test binary the child of a test: a part of children, a space
// and what that is given.
const childVar = "EYEWALL_TEST_CHILD"

// children are what a test may have run in a process of its own. Each returns an exit status.
var children = map[string]func(argument string) int{}

func runChild(what string) int {
	name, argument, _ := strings.Cut(what, " ")
	return children[name](argument)
}

// child is such a process. It is told something by lines, and tells by lines.
type child struct {
	t     testing.TB
	stdin *os.File
	lines chan string
}

// startChild starts one, which has files as descriptors from 3 on. It ends when its standard input does, which is
// when the test is over.
func startChild(t testing.TB, name, argument string, files ...*os.File) *child {
	t.Helper()
	exe, err := os.Executable()
	must(t, "Executable", err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childVar+"="+name+" "+argument, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = files
	in, w, err := os.Pipe()
	must(t, "Pipe", err)
	cmd.Stdin = in
	out, err := cmd.StdoutPipe()
	must(t, "StdoutPipe", err)
	must(t, "Start", cmd.Start())
	in.Close()
	c := &child{t: t, stdin: w, lines: make(chan string, 1000)}
	read := make(chan bool)
	go func() {
		defer close(read)
		defer close(c.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			c.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		w.Close()
		kill := time.AfterFunc(limit, func() { cmd.Process.Kill() })
		defer kill.Stop()
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child: %v", err)
		}
	})
	return c
}

// line is what the child says next.
func (c *child) line() string {
	c.t.Helper()
	select {
	case line, ok := <-c.lines:
		if !ok {
			c.t.Fatal("the child has ended")
		}
		return line
	case <-time.After(limit):
		c.t.Fatal("the child says nothing")
	}
	return ""
}

// tell sends the child a line.
func (c *child) tell(line string) { fmt.Fprintln(c.stdin, line) }
