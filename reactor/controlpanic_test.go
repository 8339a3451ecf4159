package reactor

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A panic of Control, and Goexit in it, ends the task that dials; whoever waits in DialContext is told. The loop goes
// on if panics are contained. No socket is left open.
func TestControlPanics(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		var seen []error
		l := testLoop(t, name, WithPanicsContained(), WithErrors(func(err error) { seen = append(seen, err) }))
		dir := t.TempDir()
		err := runLoop(t, l, func(task Task) error {
			off(t, task, func() {
				for network, address := range map[string]string{"tcp": "127.0.0.1:1", "unix": filepath.Join(dir, "s")} {
					d := &Dialer{Control: func(string, string, syscall.RawConn) error { panicking("boom"); return nil }}
					err := within(t, func() error {
						_, err := d.DialContext(context.Background(), l, network, address)
						return err
					})
					wantOpError(t, "DialContext", err, "dial", err)
					wantPanic(t, err, "boom")
					d.Control = func(string, string, syscall.RawConn) error { runtime.Goexit(); return nil }
					err = within(t, func() error {
						_, err := d.DialContext(context.Background(), l, network, address)
						return err
					})
					wantOpError(t, "DialContext", err, "dial", errGoexit)
				}
			})
			ended := 0
			for _, quit := range []func(){func() { panicking("boom") }, runtime.Goexit} {
				cfg := &ListenConfig{Control: func(string, string, syscall.RawConn) error { quit(); return nil }}
				for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(dir, "s")} {
					task.Go(func(task Task) error {
						defer func() { ended++ }()
						_, err := cfg.Listen(task, network, address)
						return err
					})
				}
			}
			when(t, task, "all have ended", func() bool { return ended == 4 })
			return nil
		})
		must(t, "Run", err)
		if len(seen) != 4 {
			t.Errorf("WithErrors was told of %d panics, want 4", len(seen))
		}
		for _, err := range seen {
			wantPanic(t, err, "boom")
		}
	})
}

// If panics are not contained, one of Control ends the loop, and DialContext returns.
func TestControlPanicEndsLoop(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		l := testLoop(t, name)
		dialed := make(chan error, 1)
		err := runLoop(t, l, func(task Task) error {
			go func() {
				d := &Dialer{Control: func(string, string, syscall.RawConn) error { panicking("boom"); return nil }}
				_, err := d.DialContext(context.Background(), l, "tcp", "127.0.0.1:1")
				dialed <- err
			}()
			return task.Sleep(time.Hour)
		})
		wantPanic(t, err, "boom")
		err = within(t, func() error { return <-dialed })
		wantPanic(t, err, "boom")
	})
}

// errHangs is that of a call that has not returned.
var errHangs = errors.New("the call hangs")

// within runs call on a goroutine of its own and returns its error; if call does not return, the test fails.
func within(t testing.TB, call func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- call() }()
	select {
	case err := <-result:
		return err
	case <-time.After(limit):
		t.Error(errHangs)
		return errHangs
	}
}
