package tests

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/eyewall/eyewall/reactor"
)

// A loop that has run leaves nothing that goleak finds. While one runs, with a task that waits and coroutines that are
// idle, the options that package reactor documents hide all of it, and nothing else.
func TestGoleak(t *testing.T) {
	others := goleak.IgnoreCurrent()
	running := []goleak.Option{
		others,
		goleak.IgnoreAnyFunction("github.com/eyewall/eyewall/reactor.(*Loop).run"),
		goleak.IgnoreAnyFunction("github.com/eyewall/eyewall/reactor.(*Loop).main"),
		goleak.IgnoreAnyFunction("github.com/eyewall/eyewall/reactor.(*coroutine).main"),
		goleak.IgnoreAnyFunction("github.com/eyewall/eyewall/reactor.(*debugging).watch"),
	}
	eachBackend(t, func(t *testing.T, l *reactor.Loop) {
		waiting, end := make(chan bool), reactor.NewPromise[bool](l)
		must(t, "Go", l.Go(func(task reactor.Task) error {
			task.Together(func(g *reactor.TaskGroup) error {
				for range 10 {
					g.Go(reactor.Task.Yield)
				}
				return nil
			})
			close(waiting)
			_, err := end.Wait(task)
			return err
		}))
		<-waiting
		if err := goleak.Find(running...); err != nil {
			t.Errorf("of a loop that runs: %v", err)
		}
		leak := make(chan bool)
		go func() { <-leak }()
		if goleak.Find(running...) == nil {
			t.Error("a goroutine that is no loop's was not found")
		}
		close(leak)
		must(t, "Post", end.Post(true, nil))
	})
	if err := goleak.Find(others); err != nil {
		t.Errorf("of loops that have run: %v", err)
	}
}
