//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"io"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// fileTests read and write what is no socket.
var fileTests = append([]test{
	{name: "pipe", body: pipeBothEnds},
	{name: "pipe_end", body: pipeEnd},
	{name: "pipe_broken", body: pipeBroken},
	{name: "write_whole", body: writeWhole},
	{name: "socket", body: readWriteSocket, everyNet: true},
	{name: "not_a_socket", body: notASocket},
	{name: "always_ready", body: alwaysReady},
	{name: "two_numbers_for_one", body: twoNumbers},
}, systemFileTests...)

func pipeBothEnds(r *rig) {
	in, out := r.pipe()
	buf := make([]byte, 100)
	for i := range 5 {
		t := r.submit(backend.Op{Kind: backend.Read, FD: in, Buf: buf})
		r.wantPending(t)
		r.want(r.submit(backend.Op{Kind: backend.Write, FD: out, Buf: pattern(i, 30)}), 30, nil)
		r.want(t, 30, nil)
		r.wantBytes("what was read", buf[:30], pattern(i, 30))
	}
	r.want(r.submit(backend.Op{Kind: backend.Write, FD: out}), 0, nil)
}

func pipeEnd(r *rig) {
	in, out := r.pipe()
	r.put(out, pattern(0, 30))
	r.shut(out)
	buf := make([]byte, 20)
	first := r.submit(backend.Op{Kind: backend.Read, FD: in, Buf: buf})
	r.want(first, 20, nil)
	r.want(r.submit(backend.Op{Kind: backend.Read, FD: in, Buf: buf}), 10, nil)
	r.wantBytes("what was read", buf[:10], pattern(20, 10))
	for range 2 {
		r.want(r.submit(backend.Op{Kind: backend.Read, FD: in, Buf: buf}), 0, io.EOF)
	}
	in, out = r.pipe()
	t := r.submit(backend.Op{Kind: backend.Read, FD: in, Buf: buf})
	r.wantPending(t)
	r.shut(out)
	r.want(t, 0, io.EOF)
}

// pipeBroken does not look for SIGPIPE: write(2) to a pipe raises it, and Go's runtime ignores it.
func pipeBroken(r *rig) {
	in, out := r.pipe()
	t := r.submit(backend.Op{Kind: backend.Write, FD: out, Buf: much()})
	r.wantPending(t)
	r.shut(in)
	if c := r.finish(t); c.Err != unix.EPIPE || c.N <= 0 {
		r.Errorf("write has %s; want EPIPE and how much was written", show(&c))
	}
	r.want(r.submit(backend.Op{Kind: backend.Write, FD: out, Buf: []byte("x")}), 0, unix.EPIPE)
}

func writeWhole(r *rig) {
	in, out := r.pipe()
	const n = 1 << 20
	t := r.submit(backend.Op{Kind: backend.Write, FD: out, Buf: pattern(0, n)})
	r.wantPending(t)
	r.wantBytes("what was written", r.pull(in, n), pattern(0, n))
	r.want(t, n, nil)
}

func readWriteSocket(r *rig) {
	a, b := r.pair()
	buf := make([]byte, 100)
	t := r.submit(backend.Op{Kind: backend.Read, FD: a, Buf: buf})
	behind := r.submit(backend.Op{Kind: backend.Recv, FD: a, Buf: buf[50:]}) // one line for both
	r.wantPending(t)
	r.put(b, pattern(0, 10))
	r.want(t, 10, nil)
	r.put(b, pattern(10, 10))
	r.want(behind, 10, nil)
	r.wantBytes("what was read", append(buf[:10:10], buf[50:60]...), pattern(0, 20))
	r.want(r.submit(backend.Op{Kind: backend.Write, FD: a, Buf: pattern(0, 20)}), 20, nil)
	r.wantBytes("what was written", r.pull(b, 20), pattern(0, 20))
	r.shut(b)
	r.want(r.submit(backend.Op{Kind: backend.Read, FD: a, Buf: buf}), 0, io.EOF)
}

func notASocket(r *rig) {
	in, out := r.pipe()
	for _, op := range recvOps(in) {
		r.want(r.submit(op), 0, unix.ENOTSOCK)
	}
	r.want(r.submit(backend.Op{Kind: backend.Send, FD: out, Buf: []byte("x")}), 0, unix.ENOTSOCK)
	r.want(r.submit(backend.Op{Kind: backend.Connect, FD: out, Addr: rawInet4(1)}), 0, unix.ENOTSOCK)
}

// alwaysReady is what poll(2) calls ready at any time, and epoll does not take: files on disk, /dev/null.
func alwaysReady(r *rig) {
	path := r.TempDir() + "/file"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	r.ok("open", err)
	r.adopt(fd)
	r.want(r.submit(backend.Op{Kind: backend.Write, FD: fd, Buf: pattern(0, 100)}), 100, nil)
	r.want(r.submit(backend.Op{Kind: backend.Write, FD: fd, Buf: pattern(100, 100)}), 100, nil)
	_, err = unix.Seek(fd, 0, 0)
	r.ok("seek", err)
	buf := make([]byte, 150)
	r.want(r.submit(backend.Op{Kind: backend.Read, FD: fd, Buf: buf}), 150, nil)
	r.wantBytes("what was read", buf, pattern(0, 150))
	r.want(r.submit(backend.Op{Kind: backend.Read, FD: fd, Buf: buf}), 50, nil)
	r.want(r.submit(backend.Op{Kind: backend.Read, FD: fd, Buf: buf}), 0, io.EOF)
	r.want(r.submit(backend.Op{Kind: backend.Poll, FD: fd, Events: unix.POLLIN | unix.POLLOUT}), unix.POLLIN|unix.POLLOUT, nil)

	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	r.ok("open", err)
	r.adopt(null)
	r.want(r.submit(backend.Op{Kind: backend.Write, FD: null, Buf: buf}), 150, nil)
	r.want(r.submit(backend.Op{Kind: backend.Read, FD: null, Buf: buf}), 0, io.EOF)
	r.want(r.submit(backend.Op{Kind: backend.Poll, FD: null, Events: unix.POLLOUT}), unix.POLLOUT, nil)
}

// twoNumbers waits for one pipe under two numbers, and closes one of them.
func twoNumbers(r *rig) {
	in, out := r.pipe()
	other := r.badFD()
	r.ok("dup2", dup2(in, other))
	r.adopt(other)
	buf := make([]byte, 10)
	first := r.submit(backend.Op{Kind: backend.Read, FD: in, Buf: make([]byte, 10)})
	second := r.submit(backend.Op{Kind: backend.Read, FD: other, Buf: buf})
	r.wantPending(first)
	r.closeFD(in)
	r.want(first, 0, backend.ErrClosed)
	r.wantPending(second)
	r.put(out, pattern(0, 10))
	r.want(second, 10, nil)
	r.wantBytes("what was read", buf, pattern(0, 10))
	// The closed number goes to another pipe, which has nothing to do with the first.
	in2, out2 := r.pipe()
	third := r.submit(backend.Op{Kind: backend.Read, FD: in2, Buf: make([]byte, 10)})
	fourth := r.submit(backend.Op{Kind: backend.Read, FD: other, Buf: buf})
	r.put(out, pattern(0, 5))
	r.want(fourth, 5, nil)
	r.wantPending(third)
	r.put(out2, pattern(0, 6))
	r.want(third, 6, nil)
}
