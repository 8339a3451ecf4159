package reactor

import (
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// SharedConn is a connection of a loop that any goroutine may use, and several at once; Conn.Shared makes one. It
// implements net.Conn with package net's semantics. What is received is copied to a buffer, from which Read takes it,
// and Write copies to one that the loop sends; each has up to 64 KiB, and none while nothing is in it. The loop does not
// end while one is open, unless Run's context does: then its methods give ErrClosed.
//
// Its methods wait by blocking their goroutine, so that code on a loop should not call Read and Write. On the
// connection's own loop they return an error if they would have to wait.
type SharedConn struct {
	loop          *Loop
	h             Conn // the loop's
	local, remote net.Addr
	act           func() // has the loop look at what has changed; it is posted

	writing sync.Mutex // held by the Write that is under way: what each writes stays together

	mu       sync.Mutex
	readable sync.Cond
	writable sync.Cond
	read     sharedDeadline
	write    sharedDeadline
	in       []byte // received; a sharedBuffer's, or nil
	at       int    // of in, what is read next
	out      []byte // written; a sharedBuffer's, or nil
	readErr  error  // comes after in
	writeErr error  // of the loop's sending
	heard    bool   // a call has returned writeErr, or readErr
	shut     bool   // CloseWrite was called
	closed   bool   // Close was called
	ended    bool   // the loop has done with it
	posted   bool   // act is, and has not begun
	full     bool   // the loop waits for room in in

	// What follows is the loop's.

	waiting waitQueue // the task that receives, while there is no room
	sending bool      // a task is sending
	told    bool      // the peer was told of the end of the stream
}

const (
	sharedSize = 64 << 10       // bytes of each buffer
	sharedFull = sharedSize / 2 // in in: beyond that the loop receives no more
	sharedRoom = sharedFull / 2 // and goes on below that
)

// sharedBuffers are arrays of sharedSize.
var sharedBuffers = sync.Pool{New: func() any { return new([sharedSize]byte) }}

func sharedBuffer() []byte { return sharedBuffers.Get().(*[sharedSize]byte)[:0] }

func freeSharedBuffer(b []byte) {
	if cap(b) == sharedSize {
		sharedBuffers.Put((*[sharedSize]byte)(b[:sharedSize]))
	}
}

// Shared makes the connection one for any goroutine. h, and every copy of it, is closed by that; tasks that wait for it
// get ErrClosed, its deadlines are taken away, and what Next has lent is returned. The end of a handler does not close
// it. Of a connection that is closed already it makes one that is closed. It comes from whatever runs on the loop.
func (h Conn) Shared() *SharedConn {
	h.mustBeHere()
	s := &SharedConn{local: h.LocalAddr(), remote: h.RemoteAddr()}
	s.readable.L, s.writable.L = &s.mu, &s.mu
	if h.FD() < 0 {
		s.closed, s.ended = true, true
		return s
	}
	s.loop, s.h = h.c.loop, h.c.takeOver()
	s.act = s.look
	s.loop.spawn(s.own)
	return s
}

// takeOver makes every handle stale, and returns a new one, for who has nothing to do with its server.
func (c *conn) takeOver() Conn {
	c.clearDeadlines()
	c.returnLent()
	c.generation++
	if c.lazy {
		c.loop.lazies--
	}
	c.handler, c.lazy, c.calling = nil, false, false
	if d := c.loop.debug; d != nil {
		d.closes(c) // for its tasks
	}
	c.readers.releaseAll()
	c.releaseWriters()
	if c.isUnread = false; c.in != nil {
		c.markUnread()
	}
	return c.handle()
}

// Read implements net.Conn.
func (s *SharedConn) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed || s.ended && s.readErr == nil:
			return 0, s.wrap("read", ErrClosed)
		case s.read.expired:
			return 0, s.wrap("read", ErrDeadline)
		case len(p) == 0:
			return 0, nil
		case len(s.in) > 0:
			return s.take(p), nil
		case s.readErr != nil:
			s.heard = s.heard || s.readErr != io.EOF
			return 0, s.readErr
		case s.isHere():
			return 0, s.wrap("read", errOwnLoop)
		}
		s.readable.Wait()
	}
}

// take copies from what was received.
func (s *SharedConn) take(p []byte) int {
	n := copy(p, s.in[s.at:])
	if s.at += n; s.at == len(s.in) {
		s.dropInput()
	}
	if s.full && len(s.in)-s.at < sharedRoom {
		s.full = false
		s.post()
	}
	return n
}

func (s *SharedConn) dropInput() {
	freeSharedBuffer(s.in)
	s.in, s.at = nil, 0
}

// Write implements net.Conn. A nil error says that the bytes were taken; one that sending them meets is reported by a
// later call.
func (s *SharedConn) Write(p []byte) (int, error) {
	if !s.writing.TryLock() {
		if s.isHere() { // the Write that has the lock may be waiting for the loop
			return 0, s.wrap("write", errOwnLoop)
		}
		s.writing.Lock()
	}
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.closed || s.ended && s.writeErr == nil:
			return written, s.wrap("write", ErrClosed)
		case s.write.expired:
			return written, s.wrap("write", ErrDeadline)
		case s.writeErr != nil:
			s.heard = true
			return written, s.writeErr
		case s.shut:
			return written, s.wrap("write", unix.EPIPE)
		case written == len(p):
			return written, nil
		case len(s.out) == sharedSize && s.isHere():
			return written, s.wrap("write", errOwnLoop)
		case len(s.out) == sharedSize:
			s.writable.Wait()
			continue
		case s.out == nil:
			s.out = sharedBuffer()
		}
		n := min(len(p)-written, sharedSize-len(s.out))
		s.out = append(s.out, p[written:written+n]...)
		s.post()
		if written += n; written == len(p) {
			return written, nil
		}
	}
}

// CloseWrite tells the peer, after what was written, that nothing more will come. Reading goes on. It does not wait.
func (s *SharedConn) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ended {
		return s.wrap("close", ErrClosed)
	}
	s.shut = true
	s.writable.Broadcast()
	s.post()
	return nil
}

// Close implements net.Conn. Reads and Writes that wait end with ErrClosed. It does not wait: the loop sends what was
// written, for no longer than the linger time (WithLinger), and then closes the descriptor.
func (s *SharedConn) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.wrap("close", ErrClosed)
	}
	s.closed = true
	s.read.stop()
	s.write.stop()
	s.dropInput()
	s.readable.Broadcast()
	s.writable.Broadcast()
	s.post()
	return nil
}

// isHere reports whether its caller runs on the connection's loop.
func (s *SharedConn) isHere() bool { return s.loop != nil && s.loop.isHere() }

// LocalAddr implements net.Conn.
func (s *SharedConn) LocalAddr() net.Addr { return s.local }

// RemoteAddr implements net.Conn.
func (s *SharedConn) RemoteAddr() net.Addr { return s.remote }

// SetDeadline implements net.Conn.
func (s *SharedConn) SetDeadline(t time.Time) error { return s.setDeadlines(t, true, true) }

// SetReadDeadline implements net.Conn.
func (s *SharedConn) SetReadDeadline(t time.Time) error { return s.setDeadlines(t, true, false) }

// SetWriteDeadline implements net.Conn.
func (s *SharedConn) SetWriteDeadline(t time.Time) error { return s.setDeadlines(t, false, true) }

func (s *SharedConn) setDeadlines(t time.Time, read, write bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ended {
		return s.wrap("set", ErrClosed)
	}
	if read {
		s.read.set(t, &s.readable)
	}
	if write {
		s.write.set(t, &s.writable)
	}
	return nil
}

func (s *SharedConn) wrap(op string, err error) error {
	return &net.OpError{Op: op, Net: s.local.Network(), Source: s.local, Addr: s.remote, Err: err}
}

// sharedDeadline is one direction's. It is used with the lock of its Cond held.
type sharedDeadline struct {
	timer   *time.Timer
	sets    uint64 // how often it was set
	expired bool
}

// set moves the deadline; wake are those that wait for it.
func (d *sharedDeadline) set(t time.Time, wake *sync.Cond) {
	d.stop()
	d.expired = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.expired = true
		wake.Broadcast()
		return
	}
	now := d.sets
	d.timer = time.AfterFunc(left, func() {
		wake.L.Lock()
		defer wake.L.Unlock()
		if d.sets == now {
			d.expired = true
			wake.Broadcast()
		}
	})
}

func (d *sharedDeadline) stop() {
	d.sets++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// post has the loop look at what has changed. It comes with the lock held, and lets go of it meanwhile: else the loop,
// once woken, would have to wait for it.
func (s *SharedConn) post() {
	if s.posted || s.ended {
		return
	}
	s.posted = true
	s.mu.Unlock()
	err := s.loop.Post(s.act)
	s.mu.Lock()
	switch err {
	case ErrLoopEnded:
		s.end()
	case ErrPostFull:
		go s.loop.mustPost(s.act)
	}
}

// end is for when the loop does nothing for it any more.
func (s *SharedConn) end() {
	s.ended = true
	s.read.stop()
	s.write.stop()
	freeSharedBuffer(s.out)
	s.out = nil
	s.readable.Broadcast()
	s.writable.Broadcast()
}

// look does on the loop what goroutines have asked for.
func (s *SharedConn) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posted = false
	s.waiting.wakeAll()
	if s.ended {
		return
	}
	c := s.h.c
	if out := s.out; !s.sending && len(out) > 0 && c.gathered()+len(out) <= corkLimit && c.writeErr() == nil { // as mostly
		c.gather(out)
		freeSharedBuffer(out)
		s.out = nil
		s.writable.Broadcast()
	}
	if !s.sending && (len(s.out) > 0 || s.shut && !s.told) {
		s.sending = true
		s.loop.spawn(s.send)
	}
	switch {
	case !s.closed:
	case s.sending:
		s.h.SetWriteDeadline(time.Now().Add(s.loop.opt.linger))
	default:
		s.release()
	}
}

// release closes the loop's connection.
func (s *SharedConn) release() {
	if s.h.FD() >= 0 && s.h.c.rare != nil {
		s.h.c.rare.told = s.heard
	}
	s.h.release()
	s.waiting.wakeAll()
}

// send is a task that sends what look cannot send without waiting.
func (s *SharedConn) send(t Task) error {
	for {
		s.mu.Lock()
		out := s.out
		s.out = nil
		if out == nil && (!s.shut || s.told) {
			s.sending = false
			if s.closed {
				s.release()
			}
			s.mu.Unlock()
			return nil
		}
		s.writable.Broadcast()
		s.mu.Unlock()
		var err error
		if out != nil {
			var n int
			n, err = s.h.Write(out)
			if err != nil {
				s.mu.Lock()
				s.lose(len(out)-n, err)
				s.mu.Unlock()
			}
			freeSharedBuffer(out)
		} else {
			s.told = true
			err = s.h.CloseWrite()
		}
		if t.t.canceled {
			return nil
		}
		if err != nil {
			s.failed(err)
		}
	}
}

// lose notes that bytes for which Write has returned are not sent: n of them, and those in out. Unless a later call tells
// of that, the peer and WithErrors are told when the connection is closed. It is called with the lock held.
func (s *SharedConn) lose(n int, err error) {
	if c := s.h.c; s.h.FD() >= 0 {
		c.more().unsent += n + len(s.out)
		c.lose(err) // the gathered bytes are dropped, too: there would be a hole behind them
	}
}

// failed notes that the bytes that were written cannot be sent.
func (s *SharedConn) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeErr, s.told = err, true
	freeSharedBuffer(s.out)
	s.out = nil
	s.writable.Broadcast()
}

// own is a task that receives, for as long as the connection is open.
func (s *SharedConn) own(t Task) error {
	s.loop.outside++
	defer func() {
		s.loop.outside--
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.out) > 0 { // the loop is ending
			s.lose(0, ErrCanceled)
		}
		s.end()
	}()
	for s.h.FD() >= 0 && !t.t.canceled {
		if s.pauses() {
			s.waiting.park(t.t)
			continue
		}
		err := s.h.awaitInput(false)
		if err != nil && s.h.FD() >= 0 && s.h.c.rare != nil {
			s.h.c.rare.told = false // this task is nobody to tell
		}
		if s.h.FD() < 0 || t.t.canceled {
			break
		}
		s.received(err)
	}
	return nil
}

// pauses tells whether there is nothing to be received, or no room for it.
func (s *SharedConn) pauses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readErr != nil || s.full && !s.closed
}

// received takes over what has come.
func (s *SharedConn) received(err error) {
	defer s.readable.Broadcast() // when nobody has to wait for the lock any more
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.readErr = err
	case s.closed: // so that the peer, which may be waiting for that, reads what it is still to be sent
		s.h.c.dropInput()
	default:
		if s.in == nil {
			s.in = sharedBuffer()
		}
		if s.at > 0 && cap(s.in)-len(s.in) < sharedFull {
			s.in = s.in[:copy(s.in, s.in[s.at:])]
			s.at = 0
		}
		n, _ := s.h.Read(s.in[len(s.in):cap(s.in)]) // which does not wait
		s.in = s.in[:len(s.in)+n]
		s.full = len(s.in)-s.at >= sharedFull
	}
}

var _ net.Conn = (*SharedConn)(nil)
