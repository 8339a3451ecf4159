package reactor

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/event"
)

// catching has the process catch the signals of tests, from before one to its end, so that none ends it. They come
// there, too.
func catching(t *testing.T) <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGUSR1, unix.SIGUSR2)
	t.Cleanup(func() { signal.Stop(c) })
	return c
}

func raise(t *testing.T, s unix.Signal) {
	t.Helper()
	must(t, "kill", unix.Kill(os.Getpid(), s))
}

// A task waits for several signals; what comes between two waits is told at the next, each signal of its own.
func TestSignal(t *testing.T) {
	catching(t)
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			both := &event.Signal{Signals: []os.Signal{unix.SIGUSR1, unix.SIGUSR2}}
			defer both.Stop()
			one := &event.Signal{Signals: []os.Signal{unix.SIGUSR2}}
			defer one.Stop()
			for _, s := range []unix.Signal{unix.SIGUSR1, unix.SIGUSR2} {
				task.Go(func(task Task) error {
					err := task.Sleep(time.Millisecond)
					raise(t, s)
					return err
				})
				must(t, "Await", task.Await(both))
				if both.Got != s {
					t.Errorf("got %v, want %v", both.Got, s)
				}
			}
			got := map[os.Signal]int{}
			raise(t, unix.SIGUSR2)
			raise(t, unix.SIGUSR1)
			for range 2 {
				must(t, "Await", task.Await(both))
				got[both.Got]++
			}
			if got[unix.SIGUSR1] != 1 || got[unix.SIGUSR2] != 1 {
				t.Errorf("got %v, want one of each", got)
			}
			raise(t, unix.SIGUSR2) // which one catches from now on only
			must(t, "Await", task.Await(both))
			task.Go(func(task Task) error {
				err := task.Sleep(time.Millisecond)
				raise(t, unix.SIGUSR2)
				return err
			})
			must(t, "Await", task.Await(one))
			must(t, "Await", task.Await(both))
			if one.Got != unix.SIGUSR2 || both.Got != unix.SIGUSR2 {
				t.Errorf("got %v and %v, want the same twice", one.Got, both.Got)
			}
		})
	})
}

// A wait that is canceled leaves no goroutine, as eachBackend sees, and no signal is lost on it.
func TestSignalCanceled(t *testing.T) {
	catching(t)
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			e := &event.Signal{Signals: []os.Signal{unix.SIGUSR1}}
			defer e.Stop()
			err := task.Timeout(time.Microsecond, func() error { return task.Await(e) }) // it is caught from now on
			wantErr(t, "Await", err, context.DeadlineExceeded)
			for range 20 {
				err := task.Timeout(time.Microsecond, func() error {
					raise(t, unix.SIGUSR1)
					return task.Await(e)
				})
				if err != nil { // it came too late for that wait, and so ends this one
					if e.Got != nil {
						t.Errorf("got %v beside the error %v", e.Got, err)
					}
					must(t, "Await", task.Await(e))
				}
				if e.Got != unix.SIGUSR1 {
					t.Fatalf("got %v", e.Got)
				}
				first, err := task.AwaitFirst(e, &event.Sleep{For: time.Microsecond})
				if first != 1 || err != nil || e.Got != nil {
					t.Errorf("with no signal AwaitFirst: %d, %v, %v", first, err, e.Got)
				}
			}
		})
	})
}

// After Stop, and where there is no signal to wait for, nothing is caught.
func TestSignalStopped(t *testing.T) {
	came := catching(t)
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			if err := task.Await(new(event.Signal)); err == nil || !strings.Contains(err.Error(), "needs signals") {
				t.Errorf("Await: %v", err)
			}
			e := &event.Signal{Signals: []os.Signal{unix.SIGUSR1}}
			raise(t, unix.SIGUSR1)
			<-came
			wait := func() error { return task.Timeout(2*time.Millisecond, func() error { return task.Await(e) }) }
			wantErr(t, "Await of what came before", wait(), context.DeadlineExceeded)
			other := task.Go(func(task Task) error { return task.Await(e) })
			must(t, "Yield", task.Yield())
			if err := task.Await(e); err == nil || !strings.Contains(err.Error(), "one wait's") {
				t.Errorf("a second wait: %v", err)
			}
			if i := task.Loop().Dump()[1]; !strings.HasPrefix(i.For, "event.Signal") {
				t.Errorf("the first waits for %q", i.For)
			}
			other.Cancel()
			when(t, task, "it ends", other.Done)
			e.Stop()
			raise(t, unix.SIGUSR1)
			<-came
			wantErr(t, "Await of what came after Stop", wait(), context.DeadlineExceeded)
			e.Stop()
		})
	})
}

// Tasks of several loops that wait for the same signal are all told of it.
func TestSignalOnSeveralLoops(t *testing.T) {
	catching(t)
	eachBackend(t, func(t *testing.T, name string) {
		g, err := NewGroup(WithBackend(name), WithLoops(3))
		must(t, "NewGroup", err)
		caught := make(chan bool, 3)
		for _, l := range g.Loops() {
			must(t, "Go", l.Go(func(task Task) error {
				e := &event.Signal{Signals: []os.Signal{unix.SIGUSR1}}
				defer e.Stop()
				_, err := task.AwaitFirst(e, &event.Sleep{For: time.Nanosecond}) // it is caught from now on
				must(t, "AwaitFirst", err)
				caught <- true
				if e.Got == nil {
					must(t, "Await", task.Await(e))
				}
				if e.Got != unix.SIGUSR1 {
					t.Errorf("got %v", e.Got)
				}
				return nil
			}))
		}
		ended := make(chan error)
		go func() { ended <- g.Run(context.Background()) }()
		for range g.Loops() {
			<-caught
		}
		raise(t, unix.SIGUSR1)
		must(t, "Run", <-ended)
	})
}
