package reactor

import (
	"errors"
	"slices"

	"github.com/eyewall/eyewall/event"
)

// AwaitFirst yields several events at once. It waits until one of them is over, and returns its index and error; of
// those that are over in one turn of the loop, the first in the list. The others are canceled, and over, too, when it
// returns: where one had a real result all the same, that is in the event, and the caller's to deal with. Where the
// task is canceled before any is over, the index is -1 and the error is why. It is for different events.
func (t Task) AwaitFirst(evs ...event.Event) (int, error) {
	s, err := t.current()
	if err != nil {
		return -1, err
	}
	if len(evs) == 0 {
		return -1, errNoEvents
	}
	for _, ev := range evs {
		if err := checkEvent(ev); err != nil {
			return -1, err
		}
	}
	for _, ev := range evs {
		reset(ev)
	}
	if err := s.refused(); err != nil {
		return -1, err
	}
	s.waits = waitsForFirst
	if s.loop.debug != nil {
		s.loop.debug.awaits(s, evs...)
	}
	waiters := make([]*waiter, 0, len(evs))
	defer func() {
		for _, w := range waiters {
			w.leave()
		}
	}()
	for _, ev := range evs {
		w := s.loop.newWaiter(s, ev)
		waiters = append(waiters, w)
		if err := ev.Register(w); err != nil {
			w.end(err)
		}
	}
	first, over := -1, false
	for {
		for i, w := range waiters {
			if w.settle(); w.over && first < 0 && !over {
				first = i
			}
		}
		if over = over || first >= 0 || s.canceled; over {
			for _, w := range waiters {
				w.giveUp()
			}
		}
		if over && !s.queued && !slices.ContainsFunc(waiters, (*waiter).pending) {
			return firstOf(waiters, first, s.cause())
		}
		s.park()
	}
}

// firstOf is the result of the one that was first, where all are over; where none was before the task was canceled for
// cause, of one that has had a result since.
func firstOf(waiters []*waiter, first int, cause error) (int, error) {
	for i, w := range waiters {
		if w.panicked != nil {
			panic(w.panicked)
		}
		if first < 0 && (w.err == nil || !errors.Is(w.err, cause)) {
			first = i
		}
	}
	if first < 0 {
		return -1, cause
	}
	return first, waiters[first].err
}

// giveUp ends the wait early, unless it is over.
func (w *waiter) giveUp() {
	switch {
	case w.over:
	case w.task.canceled:
		w.interrupt()
	case w.flight == 0:
		w.end(ErrCanceled)
	default:
		w.cutShort()
	}
}

// pending tells whether something may still come for the wait.
func (w *waiter) pending() bool { return !w.over || w.flight > 0 }

var errNoEvents = errors.New("reactor: AwaitFirst was given no event; it needs one to wait for")
