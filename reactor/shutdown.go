package reactor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ShutdownError tells what Shutdown has cut short.
type ShutdownError struct {
	Tasks int   // that had not ended
	Conns int   // connections that were open, or sending what was written before they were closed, and listeners likewise
	Cause error // why: that of the context's end
}

func (e *ShutdownError) Error() string {
	return fmt.Sprintf("reactor: shutdown cut %d tasks and %d connections short: %v", e.Tasks, e.Conns, e.Cause)
}

func (e *ShutdownError) Unwrap() error { return e.Cause }

// Shutdown ends the loop in good order. Its listeners are closed at once, so that new connections are refused. Those
// that there are, and the tasks, have until ctx ends to come to theirs; Draining tells them. What is left then is
// canceled, and the error is a *ShutdownError. Shutdown returns when Run has ended, or is about to, and closes a loop
// that was never run. Any goroutine may call it that does not run on the loop, and several may. On the loop it is an
// error, and does nothing: a task starts it by go.
func (l *Loop) Shutdown(ctx context.Context) error {
	if l.group != nil {
		return errGroups
	}
	if err := checkShutdown(ctx, "Loop.Shutdown", l); err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	return l.shutDown(ctx)
}

func checkShutdown(ctx context.Context, call string, loops ...*Loop) error {
	if ctx == nil {
		return noContext(call)
	}
	return mustNotBeOn(call, loops...)
}

func (l *Loop) shutDown(ctx context.Context) error {
	l.mustPost(l.drain) // for a group, once more
	select {
	case <-l.finished:
		return nil
	case <-ctx.Done():
	}
	var cut ShutdownError
	l.mustPost(func() {
		l.cutters++
		l.spawn(func(t Task) error {
			defer func() { l.cutters-- }()
			for l.closesListeners() && t.Yield() == nil { // a turn or two
			}
			cut = ShutdownError{Tasks: l.live - l.cutters, Conns: l.opened(), Cause: context.Cause(ctx)}
			l.fail(nil)
			return nil
		})
	})
	<-l.finished
	if cut.Tasks == 0 && cut.Conns == 0 { // it ended meanwhile
		return nil
	}
	return &cut
}

// Draining tells whether Shutdown was called: a server then ends a connection where its protocol allows it.
func (l *Loop) Draining() bool { return l.draining.Load() }

// drain ends the listeners.
func (l *Loop) drain() {
	l.draining.Store(true)
	for _, ln := range l.listeners {
		ln.drain()
	}
}

// closesListeners tells whether a listener is about to end.
func (l *Loop) closesListeners() bool {
	return slices.ContainsFunc(l.listeners, func(ln *Listener) bool { return ln.closed || ln.leaving })
}

// Shutdown is Loop.Shutdown for all loops of the group.
func (g *Group) Shutdown(ctx context.Context) error {
	if err := checkShutdown(ctx, "Group.Shutdown", g.loops...); err != nil {
		return err
	}
	if err := g.Close(); err != nil {
		return err
	}
	var cut ShutdownError
	var mu sync.Mutex
	var wg sync.WaitGroup
	g.mu.Lock() // so that none finds that all rest before each has been told
	for _, l := range g.loops {
		for l.Post(l.drain) == ErrPostFull {
			g.mu.Unlock()
			time.Sleep(time.Millisecond)
			g.mu.Lock()
		}
	}
	g.mu.Unlock()
	for _, l := range g.loops {
		wg.Go(func() {
			var c *ShutdownError
			if errors.As(l.shutDown(ctx), &c) {
				mu.Lock()
				defer mu.Unlock()
				cut.Tasks += c.Tasks
				cut.Conns += c.Conns
				cut.Cause = c.Cause
			}
		})
	}
	wg.Wait()
	if cut.Cause == nil {
		return nil
	}
	return &cut
}

// runAndDrain runs the group, and shuts it down when ctx ends.
func (g *Group) runAndDrain(ctx context.Context) error {
	run := context.WithoutCancel(ctx)
	result := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		within, cancel := context.WithTimeout(run, g.opt.drain)
		defer cancel()
		result <- g.Shutdown(within)
	})
	err := g.run(run)
	if !stop() {
		err = errors.Join(err, <-result)
	}
	return err
}
