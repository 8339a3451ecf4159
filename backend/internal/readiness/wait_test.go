//go:build unix

package readiness

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// fakePoller stands in for a kernel. Its waits are over at once.
type fakePoller struct {
	fails   int // the waits to come that fail, with err
	err     error
	waits   int // so far
	longest time.Duration
	then    func() // called by each wait
}

func (p *fakePoller) Watch(_ int, ready Ready) (Ready, error) { return ready, nil }
func (p *fakePoller) Forget(int)                              {}
func (p *fakePoller) Interrupt()                              {}
func (p *fakePoller) Close() error                            { return nil }

func (p *fakePoller) Wait(timeout time.Duration) ([]Event, bool, error) {
	p.waits++
	p.longest = max(p.longest, timeout)
	if p.then != nil {
		p.then()
	}
	if p.fails > 0 {
		p.fails--
		return nil, false, os.NewSyscallError("select", p.err)
	}
	return nil, false, nil
}

// No kernel is asked to wait for longer than it can. A wait that ends early is followed by another.
func TestWaitIsBounded(t *testing.T) {
	p := new(fakePoller)
	b := New(p, Traits{Name: "fake"}, backend.Config{})
	defer b.Close()
	p.then = func() {
		if p.waits == 10 {
			b.Wake()
		}
	}
	if n, err := b.Poll(make([]backend.Completion, 1), backend.Forever-1); n != 0 || err != nil {
		t.Errorf("Poll: %d, %v", n, err)
	}
	if p.waits != 10 || p.longest != maxWait {
		t.Errorf("%d waits, the longest of %v; want 10 of %v", p.waits, p.longest, maxWait)
	}
}

// A kernel without memory is asked again for a while, whether Poll waits or not.
func TestWaitWithoutMemory(t *testing.T) {
	for _, err := range []error{syscall.ENOMEM, syscall.EAGAIN} {
		for _, until := range []time.Duration{0, 1} {
			p := &fakePoller{fails: 5, err: err}
			b := New(p, Traits{Name: "fake"}, backend.Config{})
			if n, err := b.Poll(make([]backend.Completion, 1), until); n != 0 || err != nil {
				t.Errorf("Poll: %d, %v", n, err)
			}
			if p.fails != 0 || p.waits < 6 {
				t.Errorf("after %v: %d waits, want 6 or more", err, p.waits)
			}
			b.Close()
		}
	}
}

func TestWaitFails(t *testing.T) {
	for _, c := range []struct {
		err   error
		waits int
		text  string
	}{
		{syscall.ENOMEM, memoryTries, "select: cannot allocate memory, 32 times in a row"},
		{syscall.EINVAL, 1, "select: invalid argument"},
	} {
		p := &fakePoller{fails: 1000, err: c.err}
		b := New(p, Traits{Name: "fake"}, backend.Config{})
		_, err := b.Poll(make([]backend.Completion, 1), 0)
		if err == nil || p.waits != c.waits || !strings.EqualFold(err.Error(), c.text) {
			t.Errorf("%d waits, then %v; want %d, then %q", p.waits, err, c.waits, c.text)
		}
		b.Close()
	}
}
