package reactor

import (
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// handover is what a loop has not finished of a connection that has become a SharedConn: a receive that is in flight,
// what it has received and nobody has read, and what was written and is not sent. Until that is done reads and writes
// wait for it. Most connections are shared as soon as they are there, and have none.
type handover struct {
	mu       sync.Mutex
	readable sync.Cond
	writable sync.Cond
	read     sharedDeadline
	write    sharedDeadline

	receiving bool   // the loop is
	in        []byte // it has received that
	readErr   error  // comes after in
	sending   bool   // the loop is
	writeErr  error  // of that
	heard     bool   // a call has returned writeErr, or readErr
	shut      bool   // CloseWrite was called meanwhile
	closed    bool   // Close was called, or the loop has ended
}

func newHandover() *handover {
	h := &handover{receiving: true, sending: true}
	h.readable.L, h.writable.L = &h.mu, &h.mu
	return h
}

// take reads what the loop has received. If there is nothing of that, and will be none, over is true.
func (h *handover) take(p []byte, mayWait bool) (n int, over bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.closed:
			return 0, false, ErrClosed
		case h.read.expired:
			return 0, false, ErrDeadline
		case len(p) == 0:
			return 0, false, nil
		case len(h.in) > 0:
			n = copy(p, h.in)
			h.in = h.in[n:]
			return n, false, nil
		case h.readErr != nil:
			h.heard = true
			return 0, false, h.readErr
		case !h.receiving:
			return 0, true, nil
		case !mayWait:
			return 0, false, errOwnLoop
		}
		h.readable.Wait()
	}
}

// awaitSent waits until all that was written before is sent.
func (h *handover) awaitSent(mayWait bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.closed:
			return ErrClosed
		case h.write.expired:
			return ErrDeadline
		case h.writeErr != nil:
			h.heard = true
			return h.writeErr
		case h.shut:
			return unix.EPIPE
		case !h.sending:
			return nil
		case !mayWait:
			return errOwnLoop
		}
		h.writable.Wait()
	}
}

// closeWrite reports whether the loop, which is sending, will tell the peer of the end of the stream.
func (h *handover) closeWrite() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shut = h.shut || h.sending && !h.closed
	h.writable.Broadcast()
	return h.shut
}

func (h *handover) setDeadlines(t time.Time, read, write bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if read {
		h.read.set(t, &h.readable)
	}
	if write {
		h.write.set(t, &h.writable)
	}
}

// close ends what waits.
func (h *handover) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed, h.in = true, nil
	h.read.stop()
	h.write.stop()
	h.readable.Broadcast()
	h.writable.Broadcast()
}

// isOver reports whether it has nothing to say any more.
func (h *handover) isOver() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	over := !h.receiving && len(h.in) == 0 && h.readErr == nil && !h.sending && h.writeErr == nil
	if over {
		h.read.stop()
		h.write.stop()
	}
	return over
}

// received is told by the loop that it receives no more, and has received this.
func (h *handover) received(in []byte, err error) {
	if err == io.EOF { // which the system says again
		err = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.receiving, h.in, h.readErr = false, in, err
	h.readable.Broadcast()
}

// sent is told by the loop that it sends no more. It reports whether the peer is to be told of the end of the stream.
func (h *handover) sent(err error) (shut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	shut, h.shut = h.shut, false
	h.sending, h.writeErr = false, err
	h.writable.Broadcast()
	return shut && err == nil
}

// handOver is a task that has the loop finish what it has begun.
func (s *SharedConn) handOver(t Task) error {
	h := s.handover.Load()
	in, ok, err := s.lastInput(t.t)
	if !ok {
		return nil
	}
	h.received(in, err)
	c := s.h.c
	if err = nil; !c.shut {
		err = s.h.Flush()
	}
	switch {
	case c.generation != s.h.generation || t.t.canceled:
		return nil
	case err != nil:
		c.rare.told = false // this task is nobody to tell
	default:
		s.h.release()
	}
	if h.sent(err) {
		s.shutdown(unix.SHUT_WR)
	}
	s.forget()
	return nil
}

// lastInput ends the receive, and takes what has come by then.
func (s *SharedConn) lastInput(t *task) (in []byte, ok bool, err error) {
	c := s.h.c
	for c.generation == s.h.generation && !t.canceled && (c.receiving || c.rare != nil && c.rare.splices > 0) {
		c.pause()
		c.readers.park(t)
	}
	if c.generation != s.h.generation || t.canceled { // it was closed
		return nil, false, nil
	}
	for c.in != nil {
		in = append(in, c.first().data...)
		c.loop.drop(c.pop())
	}
	return in, true, readError(c, c.readErr())
}
