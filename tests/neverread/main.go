// Neverread shows what clients that send and never read do to an echo server: whether it still serves others, and how much
// memory they take.
//
//	go -C tests run ./neverread -n 5000 -size 200000
//
// Each server is a process of its own, with small send buffers, so that it soon cannot send. While the clients connect and
// send, and for a while after, another client asks for an echo again and again. The table has how many bytes the clients
// could send, the slowest answer to the other client, and the server's resident memory, at its highest and at the end. Each
// process needs about n descriptors (ulimit -n). If an answer does not come within 5 s, the program ends with status 1.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

var (
	n       = flag.Int("n", 5000, "clients that never read")
	size    = flag.Int("size", 200_000, "`bytes` that each sends")
	after   = flag.Duration("after", 2*time.Second, "how long to go on when all clients have sent what they can")
	servers = flag.String("servers", "net,io_uring:full,io_uring:basic,epoll,select", "`names`: net, or a backend of eyewall")
	modes   = flag.String("modes", "Next,handler,io.Copy", "`ways` to echo; net has one")
	serve   = flag.String("serve", "", "be the server of that `name and mode`; its parent uses this")
)

const (
	sendBuffer = 4096 // bytes; Linux doubles it
	patience   = 5 * time.Second
)

func main() {
	flag.Parse()
	if *serve != "" {
		name, mode, _ := strings.Cut(*serve, " ")
		fail(server(name, mode))
	}
	fmt.Printf("%d clients that send %d bytes and never read\n\n", *n, *size)
	fmt.Printf("%-16s %-8s %12s %15s %12s %12s\n", "", "", "bytes sent", "slowest answer", "most memory", "memory")
	stalled := false
	for _, name := range strings.Split(*servers, ",") {
		for _, mode := range strings.Split(*modes, ",") {
			if name == "net" && mode != "io.Copy" {
				continue
			}
			r, err := measure(name, mode)
			if err != nil {
				fmt.Printf("%-16s %-8s %v\n", name, mode, err)
				stalled = true
				continue
			}
			fmt.Printf("%-16s %-8s %12d %15v %9d MB %9d MB\n", name, mode, r.sent, r.slowest.Round(time.Millisecond/10), r.most>>20, r.memory>>20)
		}
	}
	if stalled {
		os.Exit(1)
	}
}

// result is what was measured of a server.
type result struct {
	sent         int64
	slowest      time.Duration
	most, memory int // bytes
}

func measure(name, mode string) (r result, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.Command(self, "-serve", name+" "+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return r, err
	}
	addr = strings.TrimSpace(addr)

	var sent atomic.Int64
	clients := make([]net.Conn, 0, *n)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	probe, err := net.Dial("tcp", addr)
	if err != nil {
		return r, err
	}
	defer probe.Close()
	data := make([]byte, *size)
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return err
	}}
	for range *n {
		c, err := dialer.Dial("tcp", addr)
		if err != nil {
			return r, err
		}
		clients = append(clients, c)
		go func() {
			for rest := data; len(rest) > 0; {
				n, err := c.Write(rest[:min(len(rest), 4096)])
				sent.Add(int64(n))
				if err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		if len(clients)%20 == 0 {
			if err := r.ask(probe); err != nil {
				return r, fmt.Errorf("another client has no answer beside %d of them: %w", len(clients), err)
			}
		}
	}
	for last, since := int64(-1), time.Now(); time.Since(since) < *after; time.Sleep(10 * time.Millisecond) {
		if now := sent.Load(); now != last {
			last, since = now, time.Now()
		}
		if err := r.ask(probe); err != nil {
			return r, fmt.Errorf("another client has no answer beside all of them: %w", err)
		}
	}
	r.sent = sent.Load()
	r.most, r.memory, err = memory(cmd.Process.Pid)
	return r, err
}

// ask asks for an echo.
func (r *result) ask(c net.Conn) error {
	message := []byte("is anybody there, while the others do not read what they have asked for?")
	began := time.Now()
	c.SetDeadline(began.Add(patience))
	if _, err := c.Write(message); err != nil {
		return err
	}
	answer := make([]byte, len(message))
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if !slices.Equal(answer, message) {
		return errors.New("the answer is another")
	}
	r.slowest = max(r.slowest, time.Since(began))
	return nil
}

var resident = regexp.MustCompile(`(?s)VmHWM:\s+(\d+) kB.*VmRSS:\s+(\d+) kB`)

// memory is the resident memory of a process, at its highest and now. See proc(5).
func memory(pid int) (most, now int, err error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, 0, err
	}
	m := resident.FindSubmatch(status)
	if m == nil {
		return 0, 0, fmt.Errorf("/proc has no memory of process %d", pid)
	}
	most, _ = strconv.Atoi(string(m[1]))
	now, _ = strconv.Atoi(string(m[2]))
	return most << 10, now << 10, nil
}

// server echoes, until it is killed.
func server(name, mode string) error {
	if name == "net" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println(ln.Addr())
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			c.(*net.TCPConn).SetWriteBuffer(sendBuffer)
			go io.Copy(c, c)
		}
	}
	run, echo := reactor.Serve, echoes[mode]
	if mode == "handler" {
		run = reactor.Handle
	}
	if echo == nil {
		return fmt.Errorf("there is no mode %q", mode)
	}
	return run(context.Background(), "tcp", "127.0.0.1:0", echo, reactor.WithBackend(name),
		reactor.WithListening(func(l reactor.Listening) { fmt.Println(l.Addr) }))
}

var echoes = map[string]func(reactor.Conn) error{
	"Next": func(c reactor.Conn) error {
		c.SetWriteBuffer(sendBuffer)
		for {
			data, err := c.Next()
			if err != nil {
				return err
			}
			if _, err := c.Write(data); err != nil {
				return err
			}
		}
	},
	"handler": func(c reactor.Conn) error {
		c.SetWriteBuffer(sendBuffer)
		data, err := c.Next()
		if err != nil {
			return err
		}
		_, err = c.Write(data)
		return err
	},
	"io.Copy": func(c reactor.Conn) error {
		c.SetWriteBuffer(sendBuffer)
		_, err := io.Copy(c, c)
		return err
	},
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
