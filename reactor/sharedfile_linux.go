package reactor

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendFile sends a regular file from its position on, up to limit bytes unless that is negative, and moves the
// position. What is left, of a small file or where the system cannot send it so, is to be copied.
func (s *SharedConn) sendFile(f file, limit int64) (n int64, err error) {
	if limit < 0 {
		limit = 1<<63 - 1
	}
	at, left := remaining(f)
	if left = min(left, limit); left < directSize {
		return 0, nil
	}
	in, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	out, err := s.file.SyscallConn()
	if err != nil {
		return 0, s.fail("write", ErrClosed)
	}
	if err := s.beginWrite(false); err != nil {
		return 0, s.fail("write", err)
	}
	defer s.writing.Unlock()
	failed := in.Control(func(fd uintptr) { n, err = sendFileTo(out, int(fd), at, left) })
	if failed != nil {
		return 0, failed
	}
	if n > 0 {
		if _, failed := f.Seek(at+n, io.SeekStart); failed != nil && err == nil {
			err = failed
		}
	}
	switch err {
	case unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS: // of a file system that knows no sendfile
		return n, nil
	}
	return n, s.fail("sendfile", err)
}

// sendFileTo sends size bytes of a file, or those to its end.
func sendFileTo(to syscall.RawConn, from int, at, size int64) (n int64, err error) {
	for n < size && err == nil {
		moved := 0
		failed := to.Write(func(fd uintptr) bool {
			moved, err = unix.Sendfile(int(fd), from, &at, int(min(size-n, maxFilePart)))
			return err != unix.EAGAIN
		})
		switch {
		case failed == ErrDeadline:
			return n, ErrDeadline
		case failed != nil:
			return n, ErrClosed
		case err == unix.EINTR:
			err = nil
		case moved <= 0:
			return n, err
		}
		n += int64(max(moved, 0))
	}
	return n, err
}
