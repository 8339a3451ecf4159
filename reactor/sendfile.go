package reactor

import (
	"errors"
	"io"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
)

// maxFilePart bounds one operation.
const maxFilePart = 1 << 30

// file is an *os.File, also where io.Copy has hidden its WriteTo in a type of its own.
type file interface {
	fs.File
	io.Seeker
	syscall.Conn
}

// sendFile sends a file from its position on, up to limit bytes unless that is negative, and moves the position.
func (h Conn) sendFile(f file, limit int64) (n int64, err error) {
	at, left := remaining(f)
	if limit < 0 {
		limit = 1<<63 - 1
	}
	if min(left, limit) < directSize { // to copy few bytes, behind what was gathered, costs less than a call for them
		return h.copyFrom(io.LimitReader(f, limit))
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	// The descriptor stays open for as long as the function runs, which may well wait.
	failed := raw.Control(func(fd uintptr) {
		for n < limit && err == nil {
			var moved int
			moved, err = h.sendPart(backend.File{FD: int(fd), Offset: at + n, Size: int(min(limit-n, maxFilePart))})
			n += int64(moved)
		}
	})
	if failed != nil {
		return 0, failed
	}
	if n == 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)) { // a file system that knows no sendfile
		return h.copyFrom(io.LimitReader(f, limit))
	}
	if _, seek := f.Seek(at+n, io.SeekStart); err == nil || err == io.EOF {
		err = seek
	}
	return n, err
}

// remaining tells where the position of a regular file is, and how many bytes there are from there on; none for
// anything else.
func remaining(f file) (at, left int64) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, 0
	}
	if at, err = f.Seek(0, io.SeekCurrent); err != nil {
		return 0, 0
	}
	return at, info.Size() - at
}

// sendPart sends a part of a file after what was gathered, and waits until all is sent. The error is io.EOF where the
// file ends before.
func (h Conn) sendPart(part backend.File) (int, error) {
	c, t, err := h.enter()
	if err != nil {
		return 0, writeError(c, err)
	}
	n, err := h.send(t, part.Size, backend.Op{Kind: backend.SendFile, File: &part, Sink: (*fileSender)(c)})
	if err == nil && n < part.Size {
		if err = c.takeFileErr(); err != io.EOF {
			err = c.wrap("sendfile", err)
		}
	}
	return n, err
}

// fileSender is a connection as the sink of the sending of a file. What that meets may be the file's own trouble, and is
// for the task that waits for it only.
type fileSender conn

// Complete implements backend.Sink.
func (s *fileSender) Complete(done *backend.Completion) {
	c := (*conn)(s)
	if done.Err != nil && done.Err != ErrCanceled {
		c.more().fileErr = done.Err
	}
	sent := *done
	sent.Err = nil
	(*sender)(c).Complete(&sent)
}

func (c *conn) takeFileErr() error {
	if c.rare == nil {
		return nil
	}
	err := c.rare.fileErr
	c.rare.fileErr = nil
	return err
}
