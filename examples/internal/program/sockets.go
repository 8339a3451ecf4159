package program

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// Full listens on an address of the loopback interface where connecting goes on without end: nobody accepts, and there is
// no room for more connections that wait for that.
func Full(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(sa.(*unix.SockaddrInet4).Port))
	for range 100 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("there is room for any number of connections")
	return ""
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
