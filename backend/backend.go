// Package backend is the contract between a reactor and the kernel: operations go in, completions come out.
//
// A [Backend] is a proactor. Those in the folders below turn the same operations into the same completions on top of
// io_uring, epoll and select; [Open] chooses one. Package backendtest checks the laws on any of them, a user's own
// included.
package backend

import "time"

// Backend turns operations into completions.
//
// One goroutine drives a backend, locked to its thread from Start to Close; only Wake may be called from others.
// Nothing here runs the caller's code, nothing blocks but Poll, and nothing but Open allocates once warm.
//
// The laws, which package backendtest checks:
//
//  1. Every Submit yields zero or more completions with More set, then exactly one without it, the final one.
//  2. EAGAIN and EINTR never surface.
//  3. Operations on one descriptor finish first in, first out for each direction. Reading (Accept, Recv, Splice, Read)
//     and writing (Connect, Send, SendFile, Write) are independent of one another; Poll is independent of both. One that
//     ends early and has moved nothing may overtake those before it.
//  4. Caps describe cost, never meaning: multishot and provided buffers work on every backend.
//  5. A real result beats a cancel, however many operations are in flight: Poll collects the results that are there
//     before it ends an operation with ErrCanceled. Close ends operations with ErrClosed, and need not look for results.
//  6. Submit and Cancel never complete anything inline: every completion comes out of Poll.
//  7. End of file and errors come only after all data that arrived before them.
//  8. A completion for an old use of a descriptor number never reaches its new user: a token carries a generation, and
//     Close closes a descriptor only after the last completion of every other operation on it.
type Backend interface {
	// Start binds the backend to the calling thread. It comes once, before all else but Wake, Now, Caps and Close.
	Start() error

	// Submit queues a copy of *op and returns its token. Memory that op refers to belongs to the backend until the
	// final completion. What is wrong with op is told by a completion, like any other error.
	Submit(op *Op) Token

	// Cancel asks for an early end of the operation. It still completes, out of a Poll that follows: with its real result
	// if there is one by then, else with ErrCanceled. A cancel is never lost; that of a token whose final completion is
	// out is a no-op.
	Cancel(t Token)

	// Poll carries out what was submitted, waits until there is a completion, a Wake, or Now() >= until, and copies
	// completions to dst, oldest first. It returns how many; those that do not fit come with the next Poll, which
	// then does not wait; dst may be empty. It waits without limit when until is Forever, and not at all when until has
	// passed. An error means the backend is broken, and Close is all that is left.
	//
	// With until 0 Poll takes the cheap way: it may leave results for the next Poll.
	//
	// With a positive until that has passed at the call, Poll is thorough: it returns fewer than len(dst) completions only
	// if each operation that had a result at the call, or would have had one if it had been tried, has reported it, or one
	// of a multishot operation's. A receive that waits for a provided buffer has no result. So a caller whose timer is due
	// polls until a Poll returns fewer than len(dst), and then lets the timer act.
	//
	// A cancel makes Poll thorough, too. Canceled operations end after the results that are there have been collected; if
	// dst has no room for all of those, they end in a later Poll. A multishot operation that has reported a result in the
	// Poll before its cancel ends at once: so a caller stops a peer that sends too fast.
	Poll(dst []Completion, until time.Duration) (int, error)

	// Release gives back the provided buffer, or the pipe, lent under lease; zero leases are ignored. Each lease is
	// released once, in any order, and the completion's Data must not be used after. A second Release panics: it would
	// give one connection's bytes to another. After Close nothing happens.
	Release(l Lease)

	// Fetch moves bytes that Splice has lent in a pipe, and that no Send has sent, to p. It returns how many: all that are
	// left, or as many as p has room for. There must be no Send of that Lease in flight.
	Fetch(l Lease, p []byte) int

	// Wake makes the Poll that is waiting, or else the next one, return. Any goroutine may call it, at any time, also
	// after Close. Many calls before that return cost one system call.
	Wake()

	// Now reads the backend's clock: monotonic time since an arbitrary start, virtual where time is simulated.
	Now() time.Duration

	// Caps tells what the backend is and what is cheap on it. Any goroutine may call it.
	Caps() Caps

	// Stats tells what the backend has done since it was opened.
	Stats() Stats

	// Close cancels and joins what is in flight without reporting it, closes accepted descriptors that were not yet
	// reported, and frees the backend. Other descriptors stay open: they are their owners'. Leases end. It comes from
	// the thread of Start, or from any if Start never came; a second one is a no-op.
	Close() error
}

// Forever as a Poll's until waits without limit.
const Forever = time.Duration(1<<63 - 1)

// Caps describes a backend: its cost, never its meaning (law 4).
type Caps struct {
	Name string // the name it is opened by, such as "io_uring"
	Rung string // which of its variants this is, such as "full" or "basic"; empty where there is one

	Multishot bool // one submission in the kernel serves many completions
	Provided  bool // the kernel picks receive buffers when data is there
	Pipes     bool // Splice lends what comes in pipes, as far as there are some, and saves copies
	Batch     int  // the length of dst with which Poll is at its best

	BufferSize  int // bytes in one provided buffer: the most that one completion lends
	BufferCount int // provided buffers there are
}

// Stats counts what a backend has done. Counters only grow.
type Stats struct {
	Submitted   uint64 // operations
	Completions uint64 // completions that Poll returned
	Polls       uint64 // calls of Poll
	Syscalls    uint64 // system calls, Wake's left out
	Waits       uint64 // system calls that were allowed to block
	Starved     uint64 // times a receive had to wait for a provided buffer
}

// Config sizes a backend. Zero values give defaults that are right for a server.
type Config struct {
	// Entries is how many operations are handed to the kernel at once, a power of two (default 1024, io_uring only).
	// More may be submitted; they queue.
	Entries int
	// BufferSize is the size in bytes of one provided buffer, a power of two (the default suits the backend).
	BufferSize int
	// BufferCount bounds the provided buffers, a power of two up to 32768 (default 1024). A buffer takes memory from
	// its first use on, and the one freed last is used first, so that only leases held for long make their number grow.
	BufferCount int
	// MaxOps bounds the operations in flight (default 1<<20). One more completes with ErrTooManyOps, unless it is a
	// Close.
	MaxOps int
}
