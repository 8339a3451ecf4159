//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// arrives judges one completion.
func (c *checked) arrives(got *backend.Completion) {
	if got.Err == errUnwritten || got.Lease == unwritten.Lease || got.N == unwritten.N || got.Token == unwritten.Token {
		c.errorf("Poll returned a completion that it did not write in full: %s", show(got))
		return
	}
	f := c.find(got.Token)
	if f == nil {
		if slot, gen := got.Token.Slot(), got.Token.Generation(); int64(slot) < int64(len(c.slots)) && gen > 0 && gen <= c.slots[slot].last {
			c.errorf("law 1: a completion after the final one: %s", show(got))
		} else {
			c.errorf("law 1: a completion of an operation that never was: %s", show(got))
		}
		return
	}
	bad := func(format string, args ...any) {
		c.errorf("%s: %s, of %s", fmt.Sprintf(format, args...), show(got), f)
	}
	if !sameSink(got.Sink, f.sink) {
		bad("the completion's Sink is not the operation's")
	}
	if got.More && !f.multishot {
		bad("law 1: More on an operation without Multishot")
	}
	if errors.Is(got.Err, syscall.EAGAIN) || errors.Is(got.Err, syscall.EWOULDBLOCK) || errors.Is(got.Err, syscall.EINTR) {
		bad("law 2: an error that never surfaces")
	}
	c.checkReason(f, got, bad)
	c.checkOrder(f, got, bad)
	c.checkResult(f, got, bad)
	c.borrow(f, got, bad)
	if l := c.loan(f.lease); l != nil && f.lease != 0 && !got.More {
		l.sending = false
		l.left -= min(max(got.N, 0), l.left)
	}
	if !got.More {
		if f.kind == backend.Close && !early(got.Err) {
			c.checkClosed(f, bad)
		}
		c.drop(f)
	}
}

// early tells whether err ends an operation before its turn, so that it may overtake those ahead of it.
func early(err error) bool {
	switch err {
	case backend.ErrCanceled, backend.ErrClosed, backend.ErrTooManyOps:
		return true
	}
	_, bad := err.(*backend.OpError)
	return bad
}

// checkReason holds law 5's second half: what ended early says why, and only what has happened can be why.
func (c *checked) checkReason(f *flight, got *backend.Completion, bad func(string, ...any)) {
	switch got.Err {
	case backend.ErrCanceled:
		if !f.canceled {
			bad("law 5: nobody canceled it")
		}
	case backend.ErrDeadline:
		bad("law 5: operations have no deadline")
	case backend.ErrClosed:
		if !f.closing {
			bad("law 5: nobody closes its descriptor")
		}
	}
}

// checkOrder holds law 3. What ends early having moved nothing may overtake: its turn never came.
func (c *checked) checkOrder(f *flight, got *backend.Completion, bad func(string, ...any)) {
	if l := c.listOf(f); f.prev != 0 && l != &c.fds[f.fd].other && !(early(got.Err) && got.N <= 0) {
		bad("law 3: it overtakes %s", &c.flights[l.head-1])
	}
}

// checkResult holds what op.go says of each kind's N and Err.
func (c *checked) checkResult(f *flight, got *backend.Completion, bad func(string, ...any)) {
	if got.More && got.Err != nil {
		bad("law 1: an error, and still More")
	}
	if f.multishot && !got.More && got.Err == nil {
		bad("a multishot operation ended without an error")
	}
	if !f.lends && (len(got.Data) > 0 || got.Lease != 0) {
		bad("a lent buffer where none was asked for")
	}
	failed := got.Err != nil
	switch f.kind {
	case backend.Accept:
		if failed != (got.N < 0) || got.N < -1 {
			bad("N must be a descriptor, or -1 beside an error")
		}
	case backend.Recv, backend.Splice, backend.Read:
		room := f.size
		if f.lends && f.kind == backend.Splice && got.Lease != 0 && got.Data == nil {
			room = got.N // in a pipe
			switch {
			case failed:
				bad("a pipe lent beside an error")
			case !c.caps.Pipes:
				bad("a pipe lent, and Caps has none")
			}
		} else if f.lends {
			room = len(got.Data)
			if !failed && room > c.caps.BufferSize {
				bad("lent %d bytes from buffers of %d", room, c.caps.BufferSize)
			}
			if !failed && (got.N != room || got.Lease == 0) {
				bad("a lent buffer needs N == len(Data) and a Lease")
				room = max(room, got.N)
			}
			if failed && (room > 0 || got.Lease != 0) {
				bad("a lent buffer beside an error")
			}
		}
		if failed && got.N != 0 || !failed && (got.N <= 0 || got.N > room) {
			bad("N must be 1 to %d, or 0 beside an error", room)
		}
	case backend.Send, backend.SendFile, backend.Write:
		if !failed && got.N != f.size || failed && (got.N < 0 || got.N > f.size || got.N == f.size && f.size > 0) {
			bad("N must be all %d bytes, or fewer beside an error", f.size)
		}
	case backend.Poll:
		if allowed := int(f.events) | unix.POLLERR | unix.POLLHUP; failed && got.N != 0 || !failed && (got.N == 0 || got.N&^allowed != 0) {
			bad("N must be some of events %#x, or 0 beside an error", allowed)
		}
	default:
		if got.N != 0 {
			bad("N must be 0")
		}
	}
}

// checkClosed holds that a Close's own completion is the last one. Operations submitted in a later turn are left out:
// the descriptor may have been closed by then, and they belong to the number's new use.
func (c *checked) checkClosed(f *flight, bad func(string, ...any)) {
	l := c.listOf(f)
	if l == nil {
		return
	}
	fd := &c.fds[f.fd]
	for _, l := range [...]*fifo{&fd.read, &fd.write, &fd.other} {
		for i := l.head; i != 0; i = c.flights[i-1].next {
			if o := &c.flights[i-1]; o != f && (o.before || o.turn == f.turn) {
				bad("a Close completed before %s", o)
			}
		}
	}
}
