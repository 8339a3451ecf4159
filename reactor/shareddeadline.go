package reactor

import (
	"sync"
	"time"
)

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
