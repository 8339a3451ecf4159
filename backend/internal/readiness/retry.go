//go:build unix

package readiness

import (
	"time"

	"github.com/eyewall/eyewall/backend/internal/ops"
)

const (
	firstRetry = time.Millisecond
	lastRetry  = 32 * time.Millisecond
)

// retry has the few descriptors that wait for what no poller tells, such as room in a Unix listener's queue. They are
// tried again together, after a pause that grows while any of them has to go on waiting.
type retry struct {
	list  []*ops.FD
	at    time.Duration // when; meant only while the list is not empty
	pause time.Duration
	spare []*ops.FD // the list while it is emptied
}

// stall has f tried again after a while.
func (b *Backend) stall(f *ops.FD) {
	if f.State&stalled != 0 {
		return
	}
	f.State |= stalled
	r := &b.retry
	if len(r.list) == 0 {
		r.pause = min(max(2*r.pause, firstRetry), lastRetry)
		r.at = b.Now() + r.pause
	}
	r.list = append(r.list, f)
}

// next is the earlier of until and the next try.
func (r *retry) next(until time.Duration) time.Duration {
	if len(r.list) > 0 {
		return min(until, r.at)
	}
	r.pause = 0
	return until
}

// fire tries all of them.
func (b *Backend) fireRetry() {
	r := &b.retry
	list := r.list
	r.list = r.spare[:0]
	for i, f := range list {
		list[i] = nil
		if f.State&stalled != 0 {
			f.State &^= stalled | blocked
			b.push(&b.ready, f)
		}
	}
	r.spare = list[:0]
}
