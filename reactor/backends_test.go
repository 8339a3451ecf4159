package reactor

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
)

// Every backend that the environment asks for is there; eachDriver looks whether it opens.
func TestRequiredBackends(t *testing.T) {
	for _, name := range testenv.Required() {
		if !slices.ContainsFunc(own, func(d backend.Driver) bool { return testenv.Is(name, fullName(d)) }) {
			t.Errorf("%s asks for %q, and there is no such backend", testenv.RequireVar, name)
		}
	}
}

func TestOwnBackends(t *testing.T) {
	want := []string{"select"}
	if runtime.GOOS == "linux" {
		want = append(want, "epoll", "io_uring")
	}
	for _, name := range want {
		if !slices.ContainsFunc(own, func(d backend.Driver) bool {
			family, _, _ := strings.Cut(d.Name, "/")
			return family == name
		}) {
			t.Errorf("importing reactor does not bring the backend %s", name)
		}
	}
}

// A loop tells what it runs on.
func TestBackend(t *testing.T) {
	eachDriver(t, func(t *testing.T, name string) {
		leavesNothing(t)
		l := testLoop(t, name)
		defer l.Close()
		name, rung, _ := strings.Cut(name, ":")
		if c := l.Backend(); c.Name != name || c.Rung != rung || c.Passed != nil {
			t.Errorf("Backend is %+v", c)
		}
	})
}

// Without an option, the environment chooses.
func TestBackendFromEnvironment(t *testing.T) {
	leavesNothing(t)
	t.Setenv(backend.EnvVar, "select")
	l, err := New()
	must(t, "New", err)
	defer l.Close()
	if c := l.Backend(); c.Name != "select" {
		t.Errorf("Backend is %v", c)
	}
}

// Auto takes one, and says why not the better ones.
func TestBackendAuto(t *testing.T) {
	leavesNothing(t)
	l := testLoop(t, backend.Auto)
	defer l.Close()
	c := l.Backend()
	var above []string
	for _, d := range own {
		if d.Rank <= 0 {
			continue
		}
		if d.Name == c.Name && d.Rung == c.Rung {
			break
		}
		above = append(above, fullName(d))
	}
	var passed []string
	for _, p := range c.Passed {
		passed = append(passed, p.Name)
		if !strings.Contains(c.String(), p.Err.Error()) {
			t.Errorf("%q does not tell of %v", c, p.Err)
		}
	}
	if !slices.Equal(above, passed) {
		t.Errorf("Backend passed over %v, want %v", passed, above)
	}
}

func TestUnknownBackend(t *testing.T) {
	leavesNothing(t)
	_, err := New(WithBackend("kqueue"))
	if err == nil {
		t.Fatal("there is none of that name")
	}
	for _, want := range []string{"reactor: ", `"kqueue"`, "select", "auto"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell %q: %v", want, err)
		}
	}
}

// A config that is wrong is an error that names it.
func TestWrongConfig(t *testing.T) {
	leavesNothing(t)
	_, err := New(WithConfig(backend.Config{BufferSize: 1000}))
	if err == nil || !strings.Contains(err.Error(), "BufferSize") {
		t.Errorf("BufferSize 1000: error %v", err)
	}
}
