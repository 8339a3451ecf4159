//go:build unix

package readiness

import "time"

// Poller tells when descriptors are ready: what differs between one readiness interface of the kernel and another.
// The backend's thread drives it; only Interrupt may be called from others.
//
// What it reports is a hint. One too many costs a system call; one too few is a hang. It never reports a direction
// that was not asked for as the only one of an event, and never blocks but in Wait.
type Poller interface {
	// Watch makes Wait report when fd is ready in one of the directions of ready, also if it already is. It returns all
	// directions that are watched from now on. With Lasting, that is until Forget; else until they are reported.
	// EPERM says that fd is always ready. It may be called again for more.
	Watch(fd int, ready Ready) (Ready, error)

	// Forget stops watching fd, which was watched and is about to be closed.
	Forget(fd int)

	// Wait returns what became ready, after waiting for it for as long as timeout: not at all if that is 0, without
	// limit if it is negative, a day at most otherwise. It returns nothing when the time is over, after an Interrupt, and
	// sometimes for no reason. The events are valid until the next Wait. ENOMEM and EAGAIN say that the kernel lacks
	// memory, so that Wait is to be called again.
	//
	// It reports whether there may be more. The descriptors that became ready first are returned first, so that as many
	// events as there are descriptors watched contain each that was ready before.
	Wait(timeout time.Duration) (events []Event, more bool, err error)

	// Interrupt makes the Wait that blocks, or else the next one, return at once.
	Interrupt()

	// Close frees the poller. Nothing else is called during or after it.
	Close() error
}

// Event says that a descriptor is ready.
type Event struct {
	FD    int32
	Ready Ready
}

// Ready is a set of directions.
type Ready uint8

const (
	Readable Ready = 1 << iota
	Writable
	Urgent // out-of-band data, POLLPRI
	// Ended, only reported, says that no other event need follow: the peer has hung up or there is an error, and
	// reading has to go on until it meets that. Urgent data, before which reads stop short, belong here too.
	Ended
)

// Traits describes a poller.
type Traits struct {
	Name    string // the backend's
	Batch   int    // completions that a turn should take
	Lasting bool   // Watch lasts until Forget, and reports that something changed rather than how it is
}
