// Package measured runs servers whose processor time is measured.
package measured

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Server is a process that listens.
type Server struct {
	Name string
	Addr string // where it listens
	cmd  *exec.Cmd
}

var listening = regexp.MustCompile(`listening on ([^ ,\n]+)`)

// Start starts a server on one processor, and waits until its first line says where it listens.
func Start(name string, processor int, command ...string) (*Server, error) {
	// taskset becomes the command.
	s := &Server{Name: name, cmd: exec.Command("taskset", append([]string{"-c", strconv.Itoa(processor)}, command...)...)}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	found := listening.FindStringSubmatch(line)
	if found == nil {
		s.Stop()
		return nil, fmt.Errorf("%s: %q, %v", name, line, err)
	}
	s.Addr = found[1]
	return s, nil
}

// Stop ends it.
func (s *Server) Stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// Used is the user and system time that it has used so far (proc(5)), in ticks of 10 ms. What interrupts cost is not in it.
func (s *Server) Used() (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // from the third one on
	var ticks int
	for _, at := range []int{14 - 3, 15 - 3} { // utime, stime
		n, err := strconv.Atoi(fields[at])
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// Median is the middle one of values, of which there is one at least.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// Build builds the program in dir and returns its path, below where.
func Build(dir, where string) (string, error) {
	binary := filepath.Join(where, filepath.Base(dir))
	build := exec.Command("go", "-C", dir, "build", "-o", binary, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	return binary, build.Run()
}
