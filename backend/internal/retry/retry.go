// Package retry keeps things that a backend tries again after a while, because the kernel does not report when it
// could: a connect to a Unix listener whose queue is full, for example.
package retry

import "time"

const (
	firstPause = time.Millisecond
	lastPause  = 32 * time.Millisecond
)

// List is a list of things to try again. They are tried together, after a pause that doubles, up to 32 ms, while any of
// them has to go on waiting. The zero List is empty.
type List[T any] struct {
	list  []T
	spare []T           // the list while Fire empties it
	at    time.Duration // when to try; valid while the list is not empty
	pause time.Duration
}

// Add puts v on the list. now is the backend's clock.
func (l *List[T]) Add(v T, now time.Duration) {
	if len(l.list) == 0 && now >= l.at {
		l.pause = min(max(2*l.pause, firstPause), lastPause)
		l.at = now + l.pause
	}
	l.list = append(l.list, v)
}

// Empty reports whether there is nothing to try.
func (l *List[T]) Empty() bool { return len(l.list) == 0 }

// Next returns the earlier of until and the time of the next try. The backend calls it before it waits: if the list is
// empty then, nothing has to go on waiting, and the next pause is short.
func (l *List[T]) Next(until time.Duration) time.Duration {
	if len(l.list) > 0 {
		return min(until, l.at)
	}
	l.pause, l.at = 0, 0
	return until
}

// Fire calls All, if it is time.
func (l *List[T]) Fire(now time.Duration, try func(T)) {
	if now >= l.at {
		l.All(try)
	}
}

// All takes everything off the list and calls try for each. try may add to the list; if it is called before the time, such
// a value waits until the time that was set.
func (l *List[T]) All(try func(T)) {
	list := l.list
	l.list = l.spare[:0]
	for _, v := range list {
		try(v)
	}
	clear(list)
	l.spare = list[:0]
}
