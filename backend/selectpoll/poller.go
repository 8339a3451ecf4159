//go:build unix

package selectpoll

import (
	"math/bits"
	"os"
	"time"

	"github.com/eyewall/eyewall/backend/internal/readiness"
	"golang.org/x/sys/unix"
)

// kinds is what select can wait for, in the order of its arguments.
var kinds = [...]readiness.Ready{readiness.Readable, readiness.Writable, readiness.Urgent}

// poller is a readiness.Poller. Only descriptors that somebody waits for are in its sets, and what was reported leaves
// them, so that readiness which nobody uses is reported once.
type poller struct {
	wait   [len(kinds)]set
	counts [len(kinds)]int // descriptors in wait
	result [len(kinds)]set
	words  int // of the sets that may be in use
	events []readiness.Event
	waker  waker
	clock  clock
}

func newPoller() (*poller, error) {
	p := new(poller)
	if err := p.waker.open(); err != nil {
		return nil, err
	}
	if _, err := p.Watch(p.waker.fd(), readiness.Readable); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Watch puts fd into the sets of ready.
func (p *poller) Watch(fd int, ready readiness.Ready) (readiness.Ready, error) {
	word := fd / wordBits
	if word >= p.words {
		for i := range kinds {
			if !p.wait[i].reach(word) || !p.result[i].reach(word) {
				return 0, &LimitError{FD: fd, Limit: limit}
			}
		}
		p.words = word + 1
	}
	for i, k := range kinds {
		if ready&k != 0 && !p.wait[i].has(fd) {
			p.wait[i].add(fd)
			p.counts[i]++
		}
	}
	return ready, nil
}

// Forget takes fd out of all sets.
func (p *poller) Forget(fd int) {
	for i := range kinds {
		p.remove(i, fd)
	}
}

func (p *poller) remove(kind, fd int) {
	if p.wait[kind].has(fd) {
		p.wait[kind].remove(fd)
		p.counts[kind]--
	}
}

// Wait is select, which reports all that is ready, unless a descriptor is bad.
func (p *poller) Wait(timeout time.Duration) ([]readiness.Event, bool, error) {
	p.prepare()
	var arg [len(kinds)]*set
	for i := range kinds {
		if p.counts[i] > 0 {
			arg[i] = &p.result[i]
		}
	}
	n, err := p.clock.selectFDs(p.words*wordBits, arg[0], arg[1], arg[2], timeout)
	switch err {
	case nil:
		return p.report(arg, n), false, nil
	case unix.EINTR:
		return nil, true, nil
	case unix.EBADF:
		bad := p.reportBad()
		return bad, len(bad) > 0, nil
	}
	return nil, false, os.NewSyscallError("select", err)
}

// prepare copies the sets, which select overwrites, and finds how long they are.
func (p *poller) prepare() {
	used := 0
	for i := range kinds {
		if p.counts[i] > 0 {
			used = max(used, p.result[i].copy(&p.wait[i], p.words))
		}
	}
	p.words = used
}

// report makes events of the n results. An event's descriptor may come again with another direction.
func (p *poller) report(arg [len(kinds)]*set, n int) []readiness.Event {
	events := p.events[:0]
	for i, s := range arg {
		if s == nil {
			continue
		}
		for w := 0; w < p.words && n > 0; w++ {
			for is := s.word(w); is != 0; is &= is - 1 {
				n--
				fd := w*wordBits + bits.TrailingZeros64(is)
				if fd == p.waker.fd() {
					p.waker.drain()
					continue
				}
				p.remove(i, fd)
				events = append(events, readiness.Event{FD: int32(fd), Ready: kinds[i]})
			}
		}
	}
	p.events = events
	return events
}

// reportBad reports those descriptors that were closed behind our back, to which select objects without a name. Who
// tries them learns what is wrong.
func (p *poller) reportBad() []readiness.Event {
	events := p.events[:0]
	for fd := range p.words * wordBits {
		var ready readiness.Ready
		for i, k := range kinds {
			if p.wait[i].has(fd) {
				ready |= k
			}
		}
		if ready == 0 {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == unix.EBADF {
			p.Forget(fd)
			events = append(events, readiness.Event{FD: int32(fd), Ready: ready})
		}
	}
	p.events = events
	return events
}

// Interrupt makes Wait return.
func (p *poller) Interrupt() { p.waker.wake() }

// Close closes what the poller has.
func (p *poller) Close() error { return p.waker.close() }
