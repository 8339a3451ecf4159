package reactor

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// saysOf fails the test unless f panics with a text that has each of these words in it.
func saysOf(t testing.TB, what string, f func(), words ...string) {
	t.Helper()
	err := refusal(f)
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: it panics with %v, want %q in it", what, err, word)
		}
	}
}

// The zero Loop and the zero Task say so to whoever uses them.
func TestZeroLoopAndTask(t *testing.T) {
	bg := context.Background()
	for what, use := range map[string]func(l *Loop){
		"Run":      func(l *Loop) { l.Run(bg) },
		"Close":    func(l *Loop) { l.Close() },
		"Go":       func(l *Loop) { l.Go(func(Task) error { return nil }) },
		"Post":     func(l *Loop) { l.Post(func() {}) },
		"Shutdown": func(l *Loop) { l.Shutdown(bg) },
		"Stats":    func(l *Loop) { l.Stats() },
		"Dump":     func(l *Loop) { l.Dump() },
		"AskDump":  func(l *Loop) { l.AskDump(bg) },
		"DialContext": func(l *Loop) {
			l.DialContext(bg, "tcp", "127.0.0.1:1")
		},
	} {
		saysOf(t, what, func() { use(new(Loop)) }, "zero Loop", "New")
	}
	var zero Task
	saysOf(t, "Loop of the zero Task", func() { zero.Loop() }, "zero Task")
	saysOf(t, "Go of the zero Task", func() { zero.Go(func(Task) error { return nil }) }, "zero Task")
	if zero.Cancel(); !zero.Done() || zero.Name() != "" {
		t.Error("the zero Task is not one that has ended, or has a name")
	}
	if _, err := Listen(zero, "tcp", "127.0.0.1:0"); !errors.As(err, new(*net.OpError)) {
		t.Errorf("Listen for the zero Task: %v", err)
	}
}

// A nil function is refused at once, not when the loop comes to it.
func TestPostNil(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			saysOf(t, "Post(nil)", func() { task.Loop().Post(nil) }, "Post", "nil")
			saysOf(t, "Loop.Go(nil)", func() { task.Loop().Go(nil) }, "Go", "nil")
			must(t, "Yield", task.Yield())
		})
	})
}

// Options and settings that mean nothing are errors that name them.
func TestSenselessOptions(t *testing.T) {
	for _, c := range []struct {
		opts []Option
		want string
	}{
		{[]Option{WithLoops(1), nil}, "option 2 of 2 is nil"},
		{[]Option{WithDrain(-1)}, "WithDrain(-1ns)"},
		{[]Option{WithLinger(-time.Second)}, "WithLinger(-1s)"},
		{[]Option{WithBusyPoll(-1)}, "WithBusyPoll(-1ns)"},
		{[]Option{WithLoops(0)}, "WithLoops(0)"},
		{[]Option{WithLoops(-1)}, "WithLoops(-1)"},
		{[]Option{WithOffload(0, 1)}, "WithOffload(0, 1)"},
		{[]Option{WithOffload(1, -1)}, "WithOffload(1, -1)"},
	} {
		for what, make := range map[string]func(...Option) error{
			"New":      func(o ...Option) error { _, err := New(o...); return err },
			"NewGroup": func(o ...Option) error { _, err := NewGroup(o...); return err },
		} {
			if err := make(c.opts...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v; want an error that says %q", what, err, c.want)
			}
		}
	}
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for want, cfg := range map[string]ListenConfig{
				"Backlog is -1":    {Backlog: -1},
				"ReadBuffer is -1": {ReadBuffer: -1},
				"SendBuffer is -2": {SendBuffer: -2},
			} {
				for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/s"} {
					_, err := cfg.Listen(task, network, address)
					if !errors.As(err, new(*net.OpError)) || !strings.Contains(err.Error(), want) {
						t.Errorf("Listen on %s: %v; want an error that says %q", network, err, want)
					}
				}
			}
		})
	})
}
