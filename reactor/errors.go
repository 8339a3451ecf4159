package reactor

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Why a wait ended early: the standard library's os.ErrDeadlineExceeded, context.Canceled and net.ErrClosed.
var (
	ErrDeadline = backend.ErrDeadline
	ErrCanceled = backend.ErrCanceled
	ErrClosed   = backend.ErrClosed
)

// What is wrong with a call.
var (
	ErrLoopEnded   = errors.New("reactor: the loop has ended; New makes another")
	ErrLoopRunning = errors.New("reactor: the loop is running already")
	ErrPostFull    = fmt.Errorf("reactor: %d posted functions are waiting already", maxPosts)
	ErrOffloadFull = errors.New("reactor: too much work is waiting for Offload's goroutines; WithOffload sets how much may")
	ErrNotTask     = errors.New("reactor: only a task can wait, and none is running here; start one with Go")
)

var (
	errNoContext = errors.New("the context is nil; context.Background() is one that never ends")
	errGroups    = errors.New("reactor: the loop is one of a group, which runs it by Group.Run")
)

// noContext is the error of a call that was given none.
func noContext(call string) error { return fmt.Errorf("reactor: %s: %w", call, errNoContext) }

// errGoexit ends a task that called runtime.Goexit; it is nobody's error.
var errGoexit = errors.New("reactor: the task called runtime.Goexit")

// errLoopGoexit ends a loop whose own code was ended by it.
var errLoopGoexit = errors.New("reactor: runtime.Goexit was called by what is no task, such as a posted function")

// endError is why waits end where Run's context has ended with a cause of its own.
type endError struct{ cause error }

func (e *endError) Error() string { return fmt.Sprintf("reactor: the loop is to end: %v", e.cause) }

func (e *endError) Unwrap() []error { return []error{ErrCanceled, e.cause} }

// endsFor tells whether err is how a task that was canceled for cause, which may be nil, was to end.
func endsFor(err, cause error) bool {
	switch {
	case cause == nil:
		return false
	case errors.Is(err, cause):
		return true
	}
	several, ok := cause.(interface{ Unwrap() []error }) // such as ErrCanceled and another
	return ok && slices.ContainsFunc(several.Unwrap(), func(one error) bool { return errors.Is(err, one) })
}

// PanicError is a panic of a task, or of what else runs on a loop.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of where that was
}

// Error is the value and the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("reactor: panic: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap is the value, if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// newPanicError must be called by the deferred function that recovered, where the stack is still there.
func newPanicError(v any) *PanicError {
	if p, ok := v.(*PanicError); ok { // passed on from where it was
		return p
	}
	return &PanicError{Value: v, Stack: debug.Stack()}
}

// UnsentError is the error of a connection that was closed before all bytes were sent for which Write had returned, where
// no other call told of that. A TCP peer has been told by a reset.
type UnsentError struct {
	Bytes int   // that were not sent
	Err   error // why: ErrDeadline once the linger time was over (WithLinger), or the error of sending
}

func (e *UnsentError) Error() string {
	return fmt.Sprintf("%d bytes that were written have not been sent: %v", e.Bytes, e.Err)
}

func (e *UnsentError) Unwrap() error { return e.Err }

// AcceptError tells that a listener has paused: the system has no descriptor or memory for another connection, or a
// connection had an error of the network's before it could be accepted, of which accept(2) lists several. Clients wait in
// the listen queue meanwhile.
type AcceptError struct {
	Err   error         // such as EMFILE, ENFILE, ENOBUFS, ENOMEM or EPROTO
	Retry time.Duration // until the listener tries again
}

func (e *AcceptError) Error() string {
	return fmt.Sprintf("reactor: accept: %v; trying again in %v", e.Err, e.Retry)
}

func (e *AcceptError) Unwrap() error { return e.Err }
