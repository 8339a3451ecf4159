//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"io"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// sendFileTests send parts of files.
var sendFileTests = []test{
	{name: "parts", body: sendFileParts, everyNet: true},
	{name: "past_its_end", body: sendFilePastEnd, everyNet: true},
	{name: "in_line", body: sendFileInLine, everyNet: true},
	{name: "whole_to_slow_reader", body: sendFileWhole, everyNet: true},
	{name: "grows", body: sendFileGrows, everyNet: true},
	{name: "shrinks", body: sendFileShrinks, everyNet: true},
	{name: "half_sent", body: sendFileHalfSent, everyNet: true},
	{name: "peer_gone", body: sendFilePeerGone, everyNet: true},
	{name: "no_file", body: sendFileNone},
	{name: "not_a_socket", body: sendFileNoSocket},
}

// file gives a file with those bytes.
func (r *rig) file(data []byte) int {
	r.Helper()
	fd, err := unix.Open(r.TempDir()+"/file", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	r.ok("open", err)
	r.adopt(fd)
	r.put(fd, data)
	return fd
}

func sendFile(socket, file, offset, size int) backend.Op {
	return backend.Op{Kind: backend.SendFile, FD: socket, File: &backend.File{FD: file, Offset: int64(offset), Size: size}}
}

func sendFileParts(r *rig) {
	a, b := r.pair()
	data := pattern(0, 100_000)
	file := r.file(data)
	for _, part := range [][2]int{{0, 100}, {0, 100}, {99_999, 1}, {5, 0}, {12_345, 54_321}, {0, 100_000}} {
		t := r.submit(sendFile(a, file, part[0], part[1]))
		r.wantBytes("what was sent", r.pull(b, part[1]), data[part[0]:][:part[1]])
		r.want(t, part[1], nil)
	}
	at, err := unix.Seek(file, 0, 1)
	r.ok("seek", err)
	if at != int64(len(data)) {
		r.Errorf("the file's own position is %d, and was %d", at, len(data))
	}
}

func sendFilePastEnd(r *rig) {
	a, b := r.pair()
	file := r.file(pattern(0, 1000))
	for _, part := range []struct{ offset, size, n int }{{0, 1001, 1000}, {900, 1 << 30, 100}, {1000, 1, 0}, {5000, 5, 0}} {
		t := r.submit(sendFile(a, file, part.offset, part.size))
		r.wantBytes("what was sent", r.pull(b, part.n), pattern(part.offset, part.n))
		r.want(t, part.n, io.EOF)
	}
	r.want(r.submit(sendFile(a, file, 1000, 0)), 0, nil)
}

func sendFileInLine(r *rig) {
	a, b := r.narrowPair()
	const n = 2 << 20
	file := r.file(pattern(5, n))
	first := r.submit(backend.Op{Kind: backend.Send, FD: a, Buf: []byte("first")})
	second := r.submit(sendFile(a, file, 0, n))
	third := r.submit(backend.Op{Kind: backend.Send, FD: a, Bufs: [][]byte{[]byte("th"), []byte("ird")}})
	r.want(first, 5, nil)
	r.wantPending(second)
	r.wantBytes("what was sent first", r.pull(b, 5), []byte("first"))
	r.wantBytes("what was sent second", r.pull(b, n), pattern(5, n))
	r.wantBytes("what was sent third", r.pull(b, 5), []byte("third"))
	r.want(second, n, nil)
	r.want(third, 5, nil)
}

func sendFileWhole(r *rig) {
	a, b := r.narrowPair()
	const n = 8 << 20
	data := pattern(0, n)
	file := r.file(data)
	t := r.submit(sendFile(a, file, 0, n))
	r.wantPending(t)
	r.wantBytes("what was sent", r.pull(b, n), data)
	r.want(t, n, nil)
}

// sendFileGrows has more of the file come, twice, before its old end is reached.
func sendFileGrows(r *rig) {
	a, b := r.narrowPair()
	const n = 4 << 20
	data := pattern(0, 3*n)
	file := r.file(data[:n])
	t := r.submit(sendFile(a, file, 0, 1<<30))
	for part := 1; part < 3; part++ {
		r.wantPending(t)
		r.put(file, data[part*n:][:n])
		r.wantBytes("what was sent", r.pull(b, n), data[(part-1)*n:][:n])
	}
	r.wantBytes("what was sent at last", r.pull(b, n), data[2*n:])
	r.want(t, 3*n, io.EOF)
}

// sendFileShrinks has the file end before what is sent of it.
func sendFileShrinks(r *rig) {
	a, b := r.narrowPair()
	const n = 8 << 20
	data := pattern(0, n)
	file := r.file(data)
	t := r.submit(sendFile(a, file, 0, n))
	r.wantPending(t)
	r.ok("truncate", unix.Ftruncate(file, 1))
	var got []byte
	for buf := make([]byte, 1<<16); len(r.records[t].queue) == 0; {
		k, _ := r.drain(b, buf)
		got = append(got, buf[:k]...)
		r.breathe("the end of the file")
	}
	c := r.finish(t)
	if c.Err != io.EOF || c.N <= 0 || c.N >= n {
		r.Fatalf("sendfile has %s; want EOF, and how much was sent", show(&c))
	}
	got = append(got, r.pull(b, c.N-len(got))...)
	if len(got) != c.N {
		r.Errorf("%d bytes were sent, and N is %d", len(got), c.N)
	}
}

func sendFileHalfSent(r *rig) {
	a, b := r.narrowPair()
	const n = 8 << 20
	data := pattern(0, n)
	file := r.file(data)
	t := r.submit(sendFile(a, file, 0, n))
	r.settle()
	r.cancel(t)
	c := r.finish(t)
	if c.Err != backend.ErrCanceled || c.N <= 0 {
		r.Fatalf("sendfile has %s; want ErrCanceled and how much was sent", show(&c))
	}
	r.wantBytes("what was sent", r.pull(b, c.N), data[:c.N])
	t = r.submit(sendFile(a, file, 0, n))
	r.settle()
	r.closeFD(a)
	if c := r.finish(t); c.Err != backend.ErrClosed {
		r.Errorf("sendfile has %s; want ErrClosed", show(&c))
	}
}

func sendFilePeerGone(r *rig) {
	a, b := r.narrowPair()
	file := r.file(much())
	t := r.submit(sendFile(a, file, 0, len(much())))
	r.wantPending(t)
	r.shut(b)
	if c := r.finish(t); c.Err != unix.EPIPE && c.Err != unix.ECONNRESET || c.N <= 0 {
		r.Errorf("sendfile has %s; want EPIPE or ECONNRESET, and how much was sent", show(&c))
	}
}

func sendFileNone(r *rig) {
	a, _ := r.pair()
	in, _ := r.pipe()
	r.want(r.submit(sendFile(a, r.badFD(), 0, 1)), 0, unix.EBADF)
	if c := r.run(sendFile(a, in, 0, 1)); c.Err != unix.EINVAL && c.Err != unix.ESPIPE {
		r.Errorf("sendfile of a pipe has %s; want EINVAL or ESPIPE", show(&c))
	}
	for _, op := range []backend.Op{
		{Kind: backend.SendFile, FD: a},
		sendFile(a, -1, 0, 1), sendFile(a, 1, -1, 1), sendFile(a, 1, 0, -1),
		{Kind: backend.Send, FD: a, File: &backend.File{}},
	} {
		if c := r.run(op); c.N != 0 || !early(c.Err) {
			r.Errorf("%s with %+v has %s; want error that says what is wrong", describe(&op), op.File, show(&c))
		}
	}
}

func sendFileNoSocket(r *rig) {
	_, out := r.pipe()
	file := r.file(pattern(0, 10))
	for range 2 {
		r.want(r.submit(sendFile(out, file, 0, 10)), 0, unix.ENOTSOCK)
	}
}
