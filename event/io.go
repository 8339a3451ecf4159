package event

import (
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Accept waits for a connection on the listening socket FD. See accept(2).
type Accept struct {
	FD      int
	Timeout time.Duration // 0: none. When it ends the wait, that is with backend.ErrDeadline

	Conn int // the accepted descriptor, non-blocking and close-on-exec, the task's to close; -1 beside an error
}

// Register implements Event.
func (e *Accept) Register(r Reactor) error {
	e.Conn = -1
	r.Submit(backend.Op{Kind: backend.Accept, FD: e.FD, Deadline: within(r, e.Timeout)})
	return nil
}

// Resume implements Event.
func (e *Accept) Resume(_ Reactor, c *backend.Completion) (bool, error) {
	e.Conn = c.N
	return true, c.Err
}

// Read waits until the socket FD has received something, and lends it. At the end of the stream the wait ends with
// io.EOF. See recv(2).
type Read struct {
	FD      int
	Timeout time.Duration // 0: none

	Data []byte // what came, until Release or the next Await of this event

	r     Reactor
	lease backend.Lease
}

// Register implements Event.
func (e *Read) Register(r Reactor) error {
	e.Release()
	e.r = r
	r.Submit(backend.Op{Kind: backend.Recv, FD: e.FD, Deadline: within(r, e.Timeout)})
	return nil
}

// Resume implements Event.
func (e *Read) Resume(_ Reactor, c *backend.Completion) (bool, error) {
	e.Data, e.lease = c.Data, c.Lease
	return true, c.Err
}

// Release gives the lent bytes back. It is to follow the last Await.
func (e *Read) Release() {
	if e.lease != 0 {
		e.r.Release(e.lease)
	}
	e.Data, e.lease = nil, 0
}

// ReadInto waits until something can be read from FD, any descriptor that poll(2) knows, into Buf. At the end of the
// stream the wait ends with io.EOF. See read(2).
type ReadInto struct {
	FD      int
	Buf     []byte        // the event's until the wait is over; not empty
	Timeout time.Duration // 0: none

	N int // bytes read
}

// Register implements Event.
func (e *ReadInto) Register(r Reactor) error {
	e.N = 0
	r.Submit(backend.Op{Kind: backend.Read, FD: e.FD, Buf: e.Buf, Deadline: within(r, e.Timeout)})
	return nil
}

// Resume implements Event.
func (e *ReadInto) Resume(_ Reactor, c *backend.Completion) (bool, error) {
	e.N = c.N
	return true, c.Err
}

// Write waits until all of Buf is written to FD, any descriptor that poll(2) knows. See write(2).
type Write struct {
	FD      int
	Buf     []byte        // the event's until the wait is over
	Timeout time.Duration // 0: none

	N int // bytes written: less than len(Buf) only beside an error
}

// Register implements Event.
func (e *Write) Register(r Reactor) error {
	e.N = 0
	r.Submit(backend.Op{Kind: backend.Write, FD: e.FD, Buf: e.Buf, Deadline: within(r, e.Timeout)})
	return nil
}

// Resume implements Event.
func (e *Write) Resume(_ Reactor, c *backend.Completion) (bool, error) {
	e.N = c.N
	return true, c.Err
}

// Writev waits until all of Bufs, in order, is sent to the socket FD. See sendmsg(2).
type Writev struct {
	FD      int
	Bufs    [][]byte      // the event's until the wait is over
	Timeout time.Duration // 0: none

	N int // bytes sent: less than there are only beside an error
}

// Register implements Event.
func (e *Writev) Register(r Reactor) error {
	e.N = 0
	r.Submit(backend.Op{Kind: backend.Send, FD: e.FD, Bufs: e.Bufs, Deadline: within(r, e.Timeout)})
	return nil
}

// Resume implements Event.
func (e *Writev) Resume(_ Reactor, c *backend.Completion) (bool, error) {
	e.N = c.N
	return true, c.Err
}

// SendFile waits until Size bytes of the regular file File are sent to the socket FD, without a copy where the system
// knows how. Where the file ends before, N is how many there were and the error is io.EOF. Bytes that are not in memory
// are read from the disk meanwhile, which holds up the loop. See sendfile(2).
type SendFile struct {
	FD      int
	File    backend.File  // the event's until the wait is over
	Timeout time.Duration // 0: none

	N int // bytes sent: less than File.Size only beside an error
}

// Register implements Event.
func (e *SendFile) Register(r Reactor) error {
	e.N = 0
	r.Submit(backend.Op{Kind: backend.SendFile, FD: e.FD, File: &e.File, Deadline: within(r, e.Timeout)})
	return nil
}

// Resume implements Event.
func (e *SendFile) Resume(_ Reactor, c *backend.Completion) (bool, error) {
	e.N = c.N
	return true, c.Err
}

// Connect waits until the socket FD is connected to Addr. See connect(2).
type Connect struct {
	FD      int
	Addr    []byte        // a raw socket address, the event's until the wait is over
	Timeout time.Duration // 0: none
}

// Register implements Event.
func (e *Connect) Register(r Reactor) error {
	r.Submit(backend.Op{Kind: backend.Connect, FD: e.FD, Addr: e.Addr, Deadline: within(r, e.Timeout)})
	return nil
}

// Resume implements Event.
func (e *Connect) Resume(_ Reactor, c *backend.Completion) (bool, error) { return true, c.Err }

// Poll waits until one of Events is true of FD. See poll(2).
type Poll struct {
	FD      int
	Events  int16         // poll(2)'s bits
	Timeout time.Duration // 0: none

	Revents int16 // those that are true
}

// Register implements Event.
func (e *Poll) Register(r Reactor) error {
	e.Revents = 0
	r.Submit(backend.Op{Kind: backend.Poll, FD: e.FD, Events: e.Events, Deadline: within(r, e.Timeout)})
	return nil
}

// Resume implements Event.
func (e *Poll) Resume(_ Reactor, c *backend.Completion) (bool, error) {
	e.Revents = int16(c.N)
	return true, c.Err
}

// Close waits until the descriptor FD is closed, after whatever else waits for it has ended with backend.ErrClosed.
// A descriptor that was in an event is closed in this way only. See close(2).
type Close struct {
	FD int
}

// Register implements Event.
func (e *Close) Register(r Reactor) error {
	r.Submit(backend.Op{Kind: backend.Close, FD: e.FD})
	return nil
}

// Resume implements Event.
func (e *Close) Resume(_ Reactor, c *backend.Completion) (bool, error) { return true, c.Err }
