// Idletls measures what an idle TLS connection costs a server in memory: a task for each connection, on eyewall, beside
// a goroutine for each, on package net. Both run the same code over crypto/tls, an echo, in a process of their own.
//
//	go -C tests run ./idletls -n 1000 -rounds 3
//
// It prints bytes per connection, the median of the rounds: resident (VmRSS, less what the server has with one
// connection) once all have shaken hands, and once each has sent and got a message of 100 bytes; both as it is then, and
// with what Go can give back to the system given back. The last columns are of what is left then, how much Go has in use
// as heap and as stacks.
package main

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	n := flag.Int("n", 1000, "connections")
	rounds := flag.Int("rounds", 3, "how often each server is measured, in turn")
	servers := flag.String("servers", "net,io_uring:full,epoll", "`names`: net, or a backend of eyewall")
	serve := flag.String("serve", "", "be the server of that `name`; its parent uses this")
	flag.Parse()
	if *serve != "" {
		fail(server(*serve))
	}
	names := strings.Split(*servers, ",")
	found := make([][]sample, len(names))
	for range *rounds {
		for i, name := range names {
			s, err := measure(name, *n)
			fail(err)
			found[i] = append(found[i], s)
		}
	}
	fmt.Printf("%d idle TLS 1.3 connections, bytes of each, median of %d\n\n", *n, *rounds)
	fmt.Printf("%-16s %15s %15s %15s %15s %9s %9s\n", "", "after handshake", "given back", "after a message", "given back", "heap", "stacks")
	for i, name := range names {
		fmt.Printf("%-16s", name)
		for column, width := range []int{15, 15, 15, 15, 9, 9} {
			var values []int
			for _, s := range found[i] {
				values = append(values, s[column])
			}
			slices.Sort(values)
			fmt.Printf(" %*d", width, values[len(values)/2])
		}
		fmt.Println()
	}
}

// sample is the columns of the table.
type sample [6]int

// usage is what a server tells of its memory, in bytes.
type usage struct{ heap, stacks int }

// child is a server that runs.
type child struct {
	cmd  *exec.Cmd
	ask  io.Writer
	says *bufio.Reader
	addr string
}

func start(name string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &child{cmd: exec.Command(self, "-serve", name)}
	p.cmd.Stderr = os.Stderr
	if p.ask, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.says = bufio.NewReader(out)
	p.addr, err = p.says.ReadString('\n')
	p.addr = strings.TrimSpace(p.addr)
	return p, err
}

func (p *child) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// giveBack has the server give back what memory it can.
func (p *child) giveBack() (u usage, err error) {
	if _, err = io.WriteString(p.ask, "give back\n"); err == nil {
		_, err = fmt.Fscanln(p.says, &u.heap, &u.stacks)
	}
	return u, err
}

// resident is the process's VmRSS, in bytes.
func (p *child) resident() (int, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("no VmRSS")
	}
	kib, err := strconv.Atoi(fields[0])
	return kib << 10, err
}

// measure starts a server and connects to it.
func measure(name string, n int) (s sample, err error) {
	p, err := start(name)
	if err != nil {
		return s, err
	}
	defer p.stop()
	conns, err := connect(p.addr, 1)
	if err != nil {
		return s, err
	}
	defer func() {
		for _, c := range conns {
			c.NetConn().Close()
		}
	}()
	if err := exchange(conns); err != nil {
		return s, err
	}
	before, err := p.giveBack()
	if err != nil {
		return s, err
	}
	base, err := p.resident()
	if err != nil {
		return s, err
	}
	var last usage
	for column := range 4 {
		switch column {
		case 0:
			var more []*tls.Conn
			if more, err = connect(p.addr, n); err == nil {
				conns = append(conns, more...)
			}
		case 2:
			err = exchange(conns)
		default:
			last, err = p.giveBack()
		}
		if err != nil {
			return s, err
		}
		now, err := p.resident()
		if err != nil {
			return s, err
		}
		s[column] = (now - base) / n
	}
	s[4], s[5] = (last.heap-before.heap)/n, (last.stacks-before.stacks)/n
	return s, nil
}

// connect makes n connections, a few at a time.
func connect(addr string, n int) ([]*tls.Conn, error) {
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13} // the server makes its certificate up
	conns := make([]*tls.Conn, n)
	return conns, each(n, func(i int) (err error) {
		conns[i], err = tls.Dial("tcp", addr, config)
		return err
	})
}

// exchange has every connection send a message, and get it back.
func exchange(conns []*tls.Conn) error {
	return each(len(conns), func(i int) error {
		message := make([]byte, 100)
		if _, err := conns[i].Write(message); err != nil {
			return err
		}
		_, err := io.ReadFull(conns[i], message)
		return err
	})
}

// each calls do for 0 to n-1, eight at once, and returns the first error.
func each(n int, do func(i int) error) error {
	const at = 8
	errs := make(chan error, at)
	for start := range at {
		go func() {
			for i := start; i < n; i += at {
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range at {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "idletls:", err)
		os.Exit(1)
	}
}
