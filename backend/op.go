package backend

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
)

// Kind says what an operation does.
type Kind uint8

const (
	// Accept takes a connection from the listening socket FD: Completion.N is its descriptor, non-blocking and
	// close-on-exec, and the receiver's to close; beside an error N is -1. With Multishot it goes on until an error or
	// its cancel. EMFILE and the like end it: submit it again later. See accept(2).
	Accept Kind = iota + 1
	// Connect connects the socket FD to Addr. Where a Unix socket's queue is full it waits for room. See connect(2).
	Connect
	// Recv receives from the socket FD. With Buf it completes with N > 0 bytes there. Without, the bytes are lent: Data
	// has them until its Lease is released; while no buffer is free, it waits. With Multishot, which goes with lending
	// only, it goes on until the end of the stream, an error or its cancel. The end is io.EOF. See recv(2).
	Recv
	// Send sends all of Buf, or all of Bufs in order, to the socket FD: N is short only beside an error. It never
	// raises SIGPIPE. See send(2). With Lease it sends what Splice has lent in a pipe, as far as that was not sent before,
	// and what is left after an error is still there.
	Send
	// Read reads what is there, at least a byte, into Buf from any descriptor that poll(2) knows: pipes, terminals,
	// timerfd, eventfd, inotify. The end is io.EOF. See read(2).
	Read
	// Write writes all of Buf to any descriptor that poll(2) knows. See write(2).
	Write
	// Poll waits until one of Events, poll(2)'s bits, is true of FD; N has those that are. POLLERR and POLLHUP are
	// always among them.
	Poll
	// Splice receives from the socket FD what is only to be sent on. It is Recv without Buf, but that the bytes may be lent
	// in a pipe, where the kernel leaves them as they are: then Data is nil, and N are under the Lease, for a Send of that
	// Lease or for Fetch. See splice(2).
	Splice
	// SendFile sends Size bytes of the regular file File to the socket FD. Where the file ends before, N is how many there
	// were and the error is io.EOF; else N is short only beside another error. The file's own position stays where it is.
	// What of it is not in memory is read on the backend's thread meanwhile. See sendfile(2).
	//
	// This, and a Send of a Lease, raise SIGPIPE where the peer is gone, which Go ignores unless os/signal was told to
	// catch it.
	SendFile
	// Close ends every other operation on FD with ErrClosed, waits for their final completions and then closes it; its
	// own completion comes last. What is submitted on FD from then until a Poll has closed it gets ErrClosed. A Close
	// cannot be canceled. Every descriptor on which an operation was submitted is closed in this way and
	// no other: close(2) alone would leave the backend with what it knows of the old descriptor. See close(2).
	Close
)

var kindNames = [...]string{"invalid", "accept", "connect", "recv", "send", "read", "write", "poll", "splice", "sendfile",
	"close"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// Op is one operation. FD is in non-blocking mode.
type Op struct {
	Kind      Kind
	Multishot bool  // Accept, Recv: complete again and again
	Events    int16 // Poll
	Lease     Lease // Send: in place of Buf, what was lent in a pipe; it is not released before the end
	FD        int
	Buf       []byte   // Recv, Read, Send, Write
	Bufs      [][]byte // Send: in place of Buf, to gather from. Neither the list nor what it lists may change
	Addr      []byte   // Connect: a raw socket address
	File      *File    // SendFile
	Sink      Sink     // comes back in each completion; may be nil
}

// File is a part of a regular file. Neither it nor the descriptor may change until the operation that has it is over.
type File struct {
	FD     int
	Offset int64 // of the first byte
	Size   int   // bytes
}

// Sink is where the completions of an operation belong. Backends carry it and never call it.
type Sink interface {
	// Complete takes a completion, which it must not keep a pointer to.
	Complete(c *Completion)
}

// Token names a submitted operation: a slot and the slot's generation. The zero Token names none.
type Token uint64

// MakeToken makes a token; generations start at 1.
func MakeToken(slot, generation uint32) Token { return Token(generation)<<32 | Token(slot) }

// Slot is the index of the operation in its backend's table.
func (t Token) Slot() uint32 { return uint32(t) }

// Generation tells uses of one slot apart.
func (t Token) Generation() uint32 { return uint32(t >> 32) }

// Lease names a lent provided buffer. The zero Lease names none.
type Lease uint32

// Completion is a result of an operation. The final one is the one without More.
type Completion struct {
	Token Token
	Sink  Sink   // the operation's
	N     int    // bytes moved; for Accept the descriptor; for Poll the events
	Err   error  // io.EOF, ErrCanceled, ErrClosed or a syscall.Errno
	Data  []byte // what came without Buf, until Lease is released; its capacity ends where it does
	Lease Lease
	More  bool // others will follow
}

// Why an operation ended early (law 5). They are the standard library's, so that errors.Is finds what callers expect.
var (
	ErrCanceled = context.Canceled
	ErrClosed   = net.ErrClosed
)

// ErrDeadline is the error of a wait whose time is over. No operation ends with it: whoever sets a deadline cancels the
// operation when that has come, and tells an ErrCanceled that follows from it by this error.
var ErrDeadline = os.ErrDeadlineExceeded

// ErrTooManyOps ends an operation submitted while Config.MaxOps were in flight.
var ErrTooManyOps = errors.New("backend: too many operations in flight (Config.MaxOps)")

// ErrNoPipe ends a Send of a Lease that lends no pipe.
var ErrNoPipe = errors.New("backend: the Lease of a Send lends no pipe; it must be that of a Splice, not released, that came without Data")

// Check tells what is wrong with op, for a backend to report; nil if nothing is.
func (op *Op) Check() error {
	switch {
	case op.Kind < Accept || op.Kind > Close:
		return opError(op, "unknown kind of operation")
	case op.FD < 0:
		return opError(op, "negative descriptor")
	case op.Multishot && op.Kind != Accept && op.Kind != Recv:
		return opError(op, "Multishot goes with Accept and Recv only")
	case op.Multishot && op.Buf != nil:
		return opError(op, "Multishot goes with lent buffers, so Buf must be nil")
	case op.Kind == Recv && op.Buf != nil && len(op.Buf) == 0:
		return opError(op, "Buf is empty; it must have room, or be nil to be lent a buffer")
	case op.Kind == Read && len(op.Buf) == 0:
		return opError(op, "Buf is empty; it must have room")
	case op.Kind == Splice && op.Buf != nil:
		return opError(op, "what comes is lent, so Buf must be nil")
	case op.Bufs != nil && op.Kind != Send:
		return opError(op, "Bufs goes with Send only")
	case op.Lease != 0 && op.Kind != Send:
		return opError(op, "Lease goes with Send only")
	case op.Bufs != nil && op.Buf != nil || op.Lease != 0 && (op.Buf != nil || op.Bufs != nil):
		return opError(op, "of Buf, Bufs and Lease only one can be set")
	case (op.File != nil) != (op.Kind == SendFile):
		return opError(op, "File goes with SendFile, which needs it")
	case op.File != nil && (op.File.FD < 0 || op.File.Offset < 0 || op.File.Size < 0):
		return opError(op, "File has a negative field")
	case op.Kind == Connect && len(op.Addr) == 0:
		return opError(op, "Addr is empty; it must be a raw socket address")
	}
	return nil
}

func opError(op *Op, what string) error {
	return &OpError{Kind: op.Kind, FD: op.FD, What: what}
}

// OpError says what is wrong with an operation as it was submitted.
type OpError struct {
	Kind Kind
	FD   int
	What string
}

func (e *OpError) Error() string {
	return "backend: " + e.Kind.String() + " on descriptor " + strconv.Itoa(e.FD) + ": " + e.What
}
