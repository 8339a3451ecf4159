package event

import (
	"time"

	"github.com/eyewall/eyewall/backend"
)

// single is the wait for one operation, with a timeout. When the time is over it cancels the operation, whose completion
// then decides: a real result counts, and ErrCanceled becomes ErrDeadline.
type single struct {
	token backend.Token
	late  bool // the time is over
}

// start submits op and sets the timer, unless timeout is 0.
func (s *single) start(r Reactor, op backend.Op, timeout time.Duration) {
	s.token, s.late = r.Submit(op), false
	if timeout != 0 {
		r.Timer(after(r, timeout))
	}
}

// done reports whether c is the completion of the operation, and with which error the wait is over then.
func (s *single) done(r Reactor, c *backend.Completion) (bool, error) {
	switch {
	case c.Token == 0: // the timer's
		s.late = true
		r.Cancel(s.token)
		return false, nil
	case s.late && c.Err == backend.ErrCanceled:
		return true, backend.ErrDeadline
	}
	return true, c.Err
}

// after is the time in d from now; the end of time where it would be beyond that.
func after(r Reactor, d time.Duration) time.Duration {
	now := r.Now()
	return now + min(d, backend.Forever-now)
}
