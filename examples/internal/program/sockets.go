package program

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Dial connects to a server. Whatever the test does with the connection must end in time.
func Dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(Patience))
	return c.(*net.TCPConn)
}

// Listen listens on a free port of the loopback interface.
func Listen(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	tcp := ln.(*net.TCPListener)
	tcp.SetDeadline(time.Now().Add(Patience))
	return tcp
}

// Hosts is the loopback addresses there are, as a server's host.
func Hosts() []string {
	hosts := []string{"127.0.0.1"}
	if ln, err := net.Listen("tcp", "[::1]:0"); err == nil {
		ln.Close()
		hosts = append(hosts, "[::1]")
	}
	return hosts
}

// CheckDescriptors calls use, and checks that the process then comes back to no more sockets than it had before. A loop
// keeps pipes to splice through, and the Go runtime opens what it needs when it needs it.
func (p *Process) CheckDescriptors(use func()) {
	p.t.Helper()
	if runtime.GOOS != "linux" {
		use()
		return
	}
	count := func() int {
		dir := fmt.Sprintf("/proc/%d/fd/", p.PID())
		list, err := os.ReadDir(dir)
		if err != nil {
			p.t.Fatal(err)
		}
		n := 0
		for _, fd := range list {
			if what, _ := os.Readlink(dir + fd.Name()); strings.HasPrefix(what, "socket:") {
				n++
			}
		}
		return n
	}
	before := count()
	use()
	Eventually(p.t, func() error {
		if n := count(); n > before {
			return fmt.Errorf("the program has %d sockets open, %d before", n, before)
		}
		return nil
	})
}
