//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package selectpoll

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// TestPortable holds that the code of the systems other than Linux is under test where CI wants it to be.
func TestPortable(t *testing.T) {
	if os.Getenv("EYEWALL_REQUIRE_PORTABLE") != "" && limit == 0 {
		t.Fatal("EYEWALL_REQUIRE_PORTABLE is set, and this is the code of Linux: the tag eyewall_portable is missing")
	}
}

// TestLimit waits for the descriptors around FD_SETSIZE: an operation on one beyond the limit, if there is one, ends
// with an error that names both, and leaves the others alone.
func TestLimit(t *testing.T) {
	b, err := Open(backend.Config{})
	must(t, err)
	defer b.Close()
	must(t, b.Start())
	next := func(tok backend.Token) backend.Completion {
		t.Helper()
		var dst [1]backend.Completion
		if n, err := b.Poll(dst[:], b.Now()+20*time.Second); n != 1 || err != nil || dst[0].Token != tok {
			t.Fatalf("%d completions (%v), the first for %#x; want one for %#x", n, err, dst[0].Token, tok)
		}
		return dst[0]
	}
	for _, fd := range []int{unix.FD_SETSIZE - 1, unix.FD_SETSIZE, unix.FD_SETSIZE + 1, 2*unix.FD_SETSIZE + 1} {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		must(t, unix.SetNonblock(pair[0], true))
		must(t, dup(pair[0], fd))
		unix.Close(pair[0])
		recv := b.Submit(&backend.Op{Kind: backend.Recv, FD: fd})
		if limit != 0 && fd >= limit {
			c := next(recv)
			var e *LimitError
			if !errors.As(c.Err, &e) || e.FD != fd || e.Limit != unix.FD_SETSIZE || !strings.Contains(e.Error(), "FD_SETSIZE") {
				t.Errorf("a receive on descriptor %d has %+v; want a LimitError", fd, c)
			}
		} else {
			if n, err := b.Poll(make([]backend.Completion, 1), b.Now()+time.Millisecond); n != 0 || err != nil {
				t.Fatalf("before anything came there are %d completions (%v)", n, err)
			}
			_, err = unix.Write(pair[1], []byte("x"))
			must(t, err)
			c := next(recv)
			if string(c.Data) != "x" || c.Err != nil {
				t.Errorf("a receive on descriptor %d has %+v", fd, c)
			}
			b.Release(c.Lease)
		}
		if c := next(b.Submit(&backend.Op{Kind: backend.Close, FD: fd})); c.Err != nil {
			t.Errorf("close of descriptor %d: %v", fd, c.Err)
		}
		unix.Close(pair[1])
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dup makes to another number for from.
func dup(from, to int) error {
	fd, err := unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, to)
	if err == nil && fd != to {
		unix.Close(fd)
		return errors.New("the descriptor is in use")
	}
	return err
}
