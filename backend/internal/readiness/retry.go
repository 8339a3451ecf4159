//go:build unix

package readiness

import "github.com/eyewall/eyewall/backend/internal/ops"

// stall has f tried again after a while.
func (b *Backend) stall(f *ops.FD) {
	if f.State&stalled == 0 {
		f.State |= stalled
		b.retry.Add(f, b.Now())
	}
}

// fireRetry has the stalled descriptors tried again if it is time.
func (b *Backend) fireRetry() {
	if !b.retry.Empty() {
		b.retry.Fire(b.Now(), b.unstall)
	}
}

// retryAll has all of them tried again. One that has to go on waiting then does so until the time that was set.
func (b *Backend) retryAll() { b.retry.All(b.unstall) }

func (b *Backend) unstall(f *ops.FD) {
	if f.State&stalled != 0 {
		f.State &^= stalled | blocked
		b.push(&b.ready, f)
	}
}
