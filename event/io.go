package event

import (
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Accept waits for a connection on the listening socket FD. See accept(2).
type Accept struct {
	FD      int
	Timeout time.Duration // ends the wait with backend.ErrDeadline, unless there is a result by then; 0: none

	Conn int // the accepted descriptor, non-blocking and close-on-exec, the task's to close; -1 beside an error

	single
}

// Reset implements Resetter.
func (e *Accept) Reset() { e.Conn = -1 }

// Register implements Event.
func (e *Accept) Register(r Reactor) error {
	e.Reset()
	e.start(r, backend.Op{Kind: backend.Accept, FD: e.FD}, e.Timeout)
	return nil
}

// Resume implements Event.
func (e *Accept) Resume(r Reactor, c *backend.Completion) (bool, error) {
	over, err := e.done(r, c)
	if over {
		e.Conn = c.N
	}
	return over, err
}

// Read waits until the socket FD has received something, and lends it. At the end of the stream the wait ends with
// io.EOF. See recv(2).
type Read struct {
	FD      int
	Timeout time.Duration // 0: none

	Data []byte // what came, until Release or the next Await of this event

	single
	r     Reactor
	lease backend.Lease
}

// Reset implements Resetter.
func (e *Read) Reset() { e.Release() }

// Register implements Event.
func (e *Read) Register(r Reactor) error {
	e.Reset()
	e.r = r
	e.start(r, backend.Op{Kind: backend.Recv, FD: e.FD}, e.Timeout)
	return nil
}

// Resume implements Event.
func (e *Read) Resume(r Reactor, c *backend.Completion) (bool, error) {
	over, err := e.done(r, c)
	if over {
		e.Data, e.lease = c.Data, c.Lease
	}
	return over, err
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

	single
}

// Reset implements Resetter.
func (e *ReadInto) Reset() { e.N = 0 }

// Register implements Event.
func (e *ReadInto) Register(r Reactor) error {
	e.Reset()
	e.start(r, backend.Op{Kind: backend.Read, FD: e.FD, Buf: e.Buf}, e.Timeout)
	return nil
}

// Resume implements Event.
func (e *ReadInto) Resume(r Reactor, c *backend.Completion) (bool, error) {
	over, err := e.done(r, c)
	if over {
		e.N = c.N
	}
	return over, err
}

// Write waits until all of Buf is written to FD, any descriptor that poll(2) knows. See write(2).
type Write struct {
	FD      int
	Buf     []byte        // the event's until the wait is over
	Timeout time.Duration // 0: none

	N int // bytes written: less than len(Buf) only beside an error

	single
}

// Reset implements Resetter.
func (e *Write) Reset() { e.N = 0 }

// Register implements Event.
func (e *Write) Register(r Reactor) error {
	e.Reset()
	e.start(r, backend.Op{Kind: backend.Write, FD: e.FD, Buf: e.Buf}, e.Timeout)
	return nil
}

// Resume implements Event.
func (e *Write) Resume(r Reactor, c *backend.Completion) (bool, error) {
	over, err := e.done(r, c)
	if over {
		e.N = c.N
	}
	return over, err
}

// Writev waits until all of Bufs, in order, is sent to the socket FD. See sendmsg(2).
type Writev struct {
	FD      int
	Bufs    [][]byte      // the event's until the wait is over
	Timeout time.Duration // 0: none

	N int // bytes sent: less than there are only beside an error

	single
}

// Reset implements Resetter.
func (e *Writev) Reset() { e.N = 0 }

// Register implements Event.
func (e *Writev) Register(r Reactor) error {
	e.Reset()
	e.start(r, backend.Op{Kind: backend.Send, FD: e.FD, Bufs: e.Bufs}, e.Timeout)
	return nil
}

// Resume implements Event.
func (e *Writev) Resume(r Reactor, c *backend.Completion) (bool, error) {
	over, err := e.done(r, c)
	if over {
		e.N = c.N
	}
	return over, err
}

// SendFile waits until Size bytes of the regular file File are sent to the socket FD, without a copy where the system
// knows how. Where the file ends before, N is how many there were and the error is io.EOF. Bytes that are not in memory
// are read from the disk meanwhile, which holds up the loop. See sendfile(2).
type SendFile struct {
	FD      int
	File    backend.File  // the event's until the wait is over
	Timeout time.Duration // 0: none

	N int // bytes sent: less than File.Size only beside an error

	single
}

// Reset implements Resetter.
func (e *SendFile) Reset() { e.N = 0 }

// Register implements Event.
func (e *SendFile) Register(r Reactor) error {
	e.Reset()
	e.start(r, backend.Op{Kind: backend.SendFile, FD: e.FD, File: &e.File}, e.Timeout)
	return nil
}

// Resume implements Event.
func (e *SendFile) Resume(r Reactor, c *backend.Completion) (bool, error) {
	over, err := e.done(r, c)
	if over {
		e.N = c.N
	}
	return over, err
}

// Connect waits until the socket FD is connected to Addr. See connect(2).
type Connect struct {
	FD      int
	Addr    []byte        // a raw socket address, the event's until the wait is over
	Timeout time.Duration // 0: none

	single
}

// Register implements Event.
func (e *Connect) Register(r Reactor) error {
	e.start(r, backend.Op{Kind: backend.Connect, FD: e.FD, Addr: e.Addr}, e.Timeout)
	return nil
}

// Resume implements Event.
func (e *Connect) Resume(r Reactor, c *backend.Completion) (bool, error) { return e.done(r, c) }

// Poll waits until one of Events is true of FD. See poll(2).
type Poll struct {
	FD      int
	Events  int16         // poll(2)'s bits
	Timeout time.Duration // 0: none

	Revents int16 // those that are true

	single
}

// Reset implements Resetter.
func (e *Poll) Reset() { e.Revents = 0 }

// Register implements Event.
func (e *Poll) Register(r Reactor) error {
	e.Reset()
	e.start(r, backend.Op{Kind: backend.Poll, FD: e.FD, Events: e.Events}, e.Timeout)
	return nil
}

// Resume implements Event.
func (e *Poll) Resume(r Reactor, c *backend.Completion) (bool, error) {
	over, err := e.done(r, c)
	if over {
		e.Revents = int16(c.N)
	}
	return over, err
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
