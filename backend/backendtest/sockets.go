//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// network is a kind of stream connection that tests run over.
type network string

const (
	unixNet network = "unix"
	tcp4    network = "tcp4"
	tcp6    network = "tcp6"
)

func (n network) family() int {
	switch n {
	case tcp4:
		return unix.AF_INET
	case tcp6:
		return unix.AF_INET6
	}
	return unix.AF_UNIX
}

// networks are those that this machine has: containers are often without IPv6.
var networks = sync.OnceValue(func() []network {
	all := []network{unixNet, tcp4}
	fd, err := newSocket(unix.AF_INET6, unix.SOCK_STREAM)
	if err != nil {
		return all
	}
	defer unix.Close(fd)
	if unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}) == nil {
		all = append(all, tcp6)
	}
	return all
})

func networkOrder(port int) uint16 {
	var p [2]byte
	binary.BigEndian.PutUint16(p[:], uint16(port))
	return binary.NativeEndian.Uint16(p[:])
}

// raw copies a raw socket address of n bytes.
func raw(p unsafe.Pointer, n int) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(p), n)...)
}

// socket opens a socket of the network, and closes it in the end.
func (r *rig) socket() int {
	r.Helper()
	fd, err := newSocket(r.net.family(), unix.SOCK_STREAM)
	r.ok("socket", err)
	return r.adopt(fd)
}

// address is where a test listens: raw for the backend, and for x/sys.
type address struct {
	raw []byte
	sa  unix.Sockaddr
}

// bind gives a socket bound to an address of its own.
func (r *rig) bind() (int, address) {
	r.Helper()
	fd := r.socket()
	switch r.net {
	case tcp4:
		r.ok("bind", unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	case tcp6:
		r.ok("bind", unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}))
	default:
		// Test names are long, and the path of a unix socket must be short.
		dir, err := os.MkdirTemp("", "eyewall")
		r.ok("directory for a socket", err)
		r.atEnd(func() { os.RemoveAll(dir) })
		path := filepath.Join(dir, "s")
		sa := &unix.SockaddrUnix{Name: path}
		r.ok("bind", unix.Bind(fd, sa))
		return fd, address{rawUnix(path), sa}
	}
	sa, err := unix.Getsockname(fd)
	r.ok("getsockname", err)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return fd, address{rawInet4(sa.Port), sa}
	case *unix.SockaddrInet6:
		return fd, address{rawInet6(sa.Port), sa}
	}
	panic("unreachable")
}

// listen gives a listening socket and its address.
func (r *rig) listen(backlog int) (int, address) {
	r.Helper()
	fd, addr := r.bind()
	r.ok("listen", unix.Listen(fd, backlog))
	return fd, addr
}

// dial connects a new socket to addr without the backend. It is there at once: the handshake needs no accept.
func (r *rig) dial(addr address) int {
	r.Helper()
	fd := r.socket()
	err := unix.Connect(fd, addr.sa)
	if err == unix.EINPROGRESS || err == unix.EINTR {
		r.ok("wait for a connection", waitFor(fd, unix.POLLOUT))
		code := 0
		if code, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); code != 0 {
			err = unix.Errno(code)
		}
	}
	r.ok("connect", err)
	return fd
}

// waitFor waits until one of events is true of fd, for as long as any test may take.
func waitFor(fd int, events int16) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(limit.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("descriptor %d has none of events %#x after %v", fd, events, limit)
		default:
			return nil
		}
	}
}

// pair gives two ends of a connection: a for the backend, b for the test.
func (r *rig) pair() (a, b int) {
	r.Helper()
	if r.net == unixNet {
		return r.unixPair()
	}
	ln, addr := r.listen(1)
	b = r.dial(addr)
	r.ok("wait for a connection", waitFor(ln, unix.POLLIN))
	a, err := acceptOne(ln)
	r.ok("accept", err)
	r.adopt(a)
	r.shut(ln)
	for _, fd := range []int{a, b} {
		r.ok("TCP_NODELAY", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	}
	return a, b
}

// pipe gives the two ends of a pipe.
func (r *rig) pipe() (read, write int) {
	r.Helper()
	p, err := pipe()
	r.ok("pipe", err)
	return r.adopt(p[0]), r.adopt(p[1])
}

// put writes all of p to fd without the backend, which must have room for it.
func (r *rig) put(fd int, p []byte) {
	r.Helper()
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err == unix.EINTR {
			continue
		}
		r.ok("write", err)
		p = p[n:]
	}
}

// get reads len(p) bytes from fd without the backend, waiting for them.
func (r *rig) get(fd int, p []byte) {
	r.Helper()
	for len(p) > 0 {
		n, err := unix.Read(fd, p)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			r.ok("wait for data", waitFor(fd, unix.POLLIN))
			continue
		case err != nil:
			r.Fatalf("read: %v, with %d bytes to come", err, len(p))
		case n == 0:
			r.Fatalf("read: end of file, with %d bytes to come", len(p))
		}
		p = p[n:]
	}
}

// drain reads what is there into p without the backend, and tells how much that was, and whether the end was met.
func (r *rig) drain(fd int, p []byte) (n int, end bool) {
	r.Helper()
	for n < len(p) {
		got, err := unix.Read(fd, p[n:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return n, false
		case err != nil:
			r.Fatalf("read: %v", err)
		case got == 0:
			return n, true
		default:
			n += got
		}
	}
	return n, false
}

// wantEOF waits for the end of file of fd, without the backend, and fails on anything else.
func (r *rig) wantEOF(fd int) {
	r.Helper()
	r.ok("wait for the end", waitFor(fd, unix.POLLIN))
	var p [64]byte
	n, err := unix.Read(fd, p[:])
	if n != 0 || err != nil {
		r.Fatalf("read: %d, %v; want the end of file", n, err)
	}
}

// fill writes to fd, a pipe or a unix socket, without the backend until it takes no more. TCP makes room some time
// after it was full.
func (r *rig) fill(fd int) {
	r.Helper()
	for p := pattern(0, 1<<16); len(p) > 0; {
		_, err := unix.Write(fd, p)
		switch {
		case err == unix.EAGAIN:
			p = p[:len(p)/2] // a pipe takes small writes whole or not at all
		case err != unix.EINTR:
			r.ok("write", err)
		}
	}
}

// arrived waits until n bytes or more lie unread in fd.
func (r *rig) arrived(fd, n int) {
	r.Helper()
	p := make([]byte, n)
	for {
		got, _, err := unix.Recvfrom(fd, p, unix.MSG_PEEK)
		switch {
		case err == unix.EINTR:
		case err != nil && err != unix.EAGAIN:
			r.Fatalf("peek: %v", err)
		case got >= n:
			return
		case err == nil && got == 0:
			r.Fatalf("peek: end of file after %d bytes of %d", got, n)
		default:
			r.breathe("bytes to arrive")
		}
	}
}

// unixPair is a pair of unix sockets, whatever the test's network is.
func (r *rig) unixPair() (a, b int) {
	r.Helper()
	p, err := socketPair()
	r.ok("socketpair", err)
	return r.adopt(p[0]), r.adopt(p[1])
}

// narrowPair is a pair whose buffers are small, so that much data cannot hide in them.
func (r *rig) narrowPair() (a, b int) {
	r.Helper()
	a, b = r.pair()
	for _, fd := range []int{a, b} {
		r.ok("SO_SNDBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<16))
		r.ok("SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<16))
	}
	return a, b
}

// reset closes fd so that a TCP peer gets a reset.
func (r *rig) reset(fd int) {
	r.Helper()
	r.ok("SO_LINGER", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	r.shut(fd)
}

// probeDescriptors lists what is open where no directory tells.
func probeDescriptors() map[int]string {
	open := make(map[int]string)
	for fd := range 1 << 14 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			open[fd] = fmt.Sprintf("mode %o, inode %d", st.Mode, st.Ino)
		}
	}
	return open
}

// setLimit sets a field of an Rlimit, whose type systems differ about.
func setLimit[T int64 | uint64](field *T, n int) { *field = T(n) }
