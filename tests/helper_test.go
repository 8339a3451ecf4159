package tests

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
	"github.com/eyewall/eyewall/reactor"
)

// requireToolsVar names the environment variable that lists tools, by commas, whose tests must not be skipped.
const requireToolsVar = "EYEWALL_REQUIRE_TOOLS"

// eachBackend runs test over every backend that this system has, on a loop that runs until the test is over. Afterwards
// no goroutine may be left.
func eachBackend(t *testing.T, test func(t *testing.T, l *reactor.Loop)) {
	t.Helper()
	for _, d := range backend.Drivers() {
		name := d.Name
		if d.Rung != "" {
			name += ":" + d.Rung
		}
		t.Run(name, func(t *testing.T) {
			goroutines := runtime.NumGoroutine()
			l, err := reactor.New(reactor.WithBackend(name))
			testenv.Need(t, name, err)
			end := runLoop(t, l)
			test(t, l)
			end()
			for range 200 {
				if runtime.NumGoroutine() <= goroutines {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			buf := make([]byte, 64<<10)
			t.Errorf("goroutines are left:\n%s", buf[:runtime.Stack(buf, true)])
		})
	}
}

// runLoop runs l until end is called, which checks that nothing holds it then.
func runLoop(t *testing.T, l *reactor.Loop) (end func()) {
	t.Helper()
	idle, release := context.WithCancel(context.Background())
	must(t, "Go", l.Go(func(task reactor.Task) error { // keeps the loop running
		return task.With(idle, func() error {
			for task.Sleep(time.Hour) == nil {
			}
			return nil
		})
	}))
	result := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { result <- l.Run(ctx) }()
	return func() {
		t.Helper()
		release()
		select {
		case err := <-result:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("something is left that holds the loop")
			cancel()
			<-result
		}
		cancel()
	}
}

// listen makes a shared listener on the loop.
func listen(t testing.TB, l *reactor.Loop, network, address string) net.Listener {
	t.Helper()
	type result struct {
		ln  net.Listener
		err error
	}
	results := make(chan result, 1)
	must(t, "Go", l.Go(func(task reactor.Task) error {
		ln, err := reactor.Listen(task, network, address)
		if err != nil {
			results <- result{nil, err}
		} else {
			results <- result{ln.Shared(), nil}
		}
		return nil
	}))
	r := <-results
	must(t, "Listen", r.err)
	return r.ln
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
