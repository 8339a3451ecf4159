package testenv

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"testing"
)

// recorder is a test that notes how it ends.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(string, ...any) { r.ended = "failed"; runtime.Goexit() }

func (r *recorder) Logf(string, ...any) {}

func (r *recorder) SkipNow() { r.ended = "skipped"; runtime.Goexit() }

// A test is skipped if the system denies its backend and nobody asks for that, and only then.
func TestNeed(t *testing.T) {
	for _, c := range []struct {
		require, name string
		err           error
		want          string
	}{
		{"", "io_uring:full", nil, "passed"},
		{"", "io_uring:full", syscall.EPERM, "skipped"},
		{"", "io_uring:full", fmt.Errorf("io_uring: %w", syscall.EOPNOTSUPP), "skipped"}, // an older kernel
		{"", "io_uring:full", syscall.ENOMEM, "failed"},
		{"", "epoll", syscall.EINVAL, "failed"},
		{"", "io_uring:full", errors.New("broken"), "failed"},
		{"epoll,select", "io_uring:full", syscall.EPERM, "skipped"},
		{"epoll,io_uring", "io_uring:full", syscall.EPERM, "failed"},
		{"epoll,io_uring", "io_uring:full", nil, "passed"},
		{"io_uring:full", "io_uring:full", syscall.EPERM, "failed"},
		{"io_uring:full", "io_uring:basic", syscall.EPERM, "skipped"},
		{"io_uring", "io_uring/giouring:basic", syscall.EPERM, "failed"},
		{"io_uring/giouring", "io_uring/giouring:basic", syscall.EPERM, "failed"},
		{"io_uring/giouring", "io_uring:basic", syscall.EPERM, "skipped"},
		{"epoll", "epoll", syscall.ENOSYS, "failed"},
	} {
		t.Setenv(RequireVar, c.require)
		r := &recorder{ended: "passed"}
		done := make(chan bool)
		go func() {
			defer close(done)
			Need(r, c.name, c.err)
		}()
		<-done
		if r.ended != c.want {
			t.Errorf("%s=%s, %s, %v: the test %s, want %s", RequireVar, c.require, c.name, c.err, r.ended, c.want)
		}
	}
}
