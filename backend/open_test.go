package backend

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// opened is a backend that says which driver opened it.
type opened struct {
	Backend
	by  string
	cfg Config
}

// register makes these the only drivers while the test runs.
func register(t *testing.T, list ...Driver) {
	old := Drivers()
	drivers.list = nil
	for _, d := range list {
		Register(d)
	}
	t.Cleanup(func() { drivers.list = old })
	t.Setenv(EnvVar, "")
}

func works(name, rung string, rank int) Driver {
	d := Driver{Name: name, Rung: rung, Rank: rank}
	d.Open = func(cfg Config) (Backend, error) { return opened{by: d.full(), cfg: cfg}, nil }
	return d
}

func fails(name, rung string, rank int, err error) Driver {
	return Driver{Name: name, Rung: rung, Rank: rank, Open: func(Config) (Backend, error) { return nil, err }}
}

func ladder(t *testing.T) {
	register(t,
		works("select", "", 10),
		works("epoll", "", 20),
		works("io_uring", "basic", 30),
		works("io_uring", "full", 40),
		works("io_uring/other", "full", 0),
		works("mine", "", -1),
	)
}

func TestOpen(t *testing.T) {
	ladder(t)
	for name, want := range map[string]string{
		"":                    "io_uring:full",
		"auto":                "io_uring:full",
		"io_uring":            "io_uring:full",
		"io_uring:full":       "io_uring:full",
		"io_uring:basic":      "io_uring:basic",
		"io_uring/other":      "io_uring/other:full",
		"io_uring/other:full": "io_uring/other:full",
		"epoll":               "epoll",
		"select":              "select",
		"mine":                "mine",
	} {
		b, choice, err := Open(name, Config{MaxOps: 7})
		if err != nil {
			t.Errorf("Open(%q): %v", name, err)
			continue
		}
		o := b.(opened)
		chosen := Driver{Name: choice.Name, Rung: choice.Rung}
		if o.by != want || chosen.full() != want || o.cfg.MaxOps != 7 || choice.Passed != nil {
			t.Errorf("Open(%q) opened %s with %+v and tells of %s; want %s", name, o.by, o.cfg, choice, want)
		}
	}
}

func TestOpenEnvironment(t *testing.T) {
	ladder(t)
	t.Setenv(EnvVar, "select")
	if b, _, err := Open("", Config{}); err != nil || b.(opened).by != "select" {
		t.Errorf("opened %v, %v; want what %s says", b, err, EnvVar)
	}
	if b, _, err := Open("epoll", Config{}); err != nil || b.(opened).by != "epoll" {
		t.Errorf("opened %v, %v; want what the program says", b, err)
	}
	t.Setenv(EnvVar, "nonsense")
	_, _, err := Open("", Config{})
	if err == nil || !strings.Contains(err.Error(), `unknown backend "nonsense" (from EYEWALL_BACKEND)`) {
		t.Errorf("the error is %v", err)
	}
}

func TestOpenUnknown(t *testing.T) {
	ladder(t)
	for _, name := range []string{"kqueue", "epoll:full", "io_uring:", "io_uring:none", "EPOLL", "/other", ":full", " "} {
		_, _, err := Open(name, Config{})
		if err == nil {
			t.Errorf("Open(%q) opens something", name)
			continue
		}
		for _, known := range []string{"unknown backend", "auto, io_uring, io_uring:full, io_uring:basic, epoll, select, io_uring/other:full, mine"} {
			if !strings.Contains(err.Error(), known) {
				t.Errorf("Open(%q): %v; want it to name %s", name, err, known)
			}
		}
	}
}

func TestOpenNoneRegistered(t *testing.T) {
	register(t)
	for _, name := range []string{"", "auto", "epoll"} {
		_, _, err := Open(name, Config{})
		if err == nil || !strings.Contains(err.Error(), "backend/all") {
			t.Errorf("Open(%q): %v; want it to name the package that registers some", name, err)
		}
	}
}

// Auto passes over what cannot be opened, and says so.
func TestOpenLadder(t *testing.T) {
	full := os.NewSyscallError("io_uring_setup", syscall.EPERM)
	basic := errors.New("denied as well")
	register(t, fails("io_uring", "full", 40, full), fails("io_uring", "basic", 30, basic), works("epoll", "", 20), works("select", "", 10))

	b, choice, err := Open(Auto, Config{})
	if err != nil || b.(opened).by != "epoll" || choice.Name != "epoll" {
		t.Fatalf("opened %v, %v, %v; want epoll", b, choice, err)
	}
	if !slices.Equal(choice.Passed, []Refusal{{"io_uring:full", full}, {"io_uring:basic", basic}}) {
		t.Errorf("passed %v", choice.Passed)
	}
	want := "epoll (io_uring:full: io_uring_setup: operation not permitted; io_uring:basic: denied as well)"
	if choice.String() != want {
		t.Errorf("the choice reads\n%s, want\n%s", choice, want)
	}

	// What was asked for by name is not replaced.
	b, choice, err = Open("io_uring", Config{})
	if b != nil || !errors.Is(err, syscall.EPERM) || !errors.Is(err, basic) || len(choice.Passed) != 2 {
		t.Errorf("opened %v, %v, %v", b, choice, err)
	}
	if err != nil && !strings.Contains(err.Error(), "io_uring:basic: denied as well") {
		t.Errorf("the error %v does not name the rung", err)
	}
}

func TestOpenFallsToRung(t *testing.T) {
	register(t, fails("io_uring", "full", 40, syscall.EINVAL), works("io_uring", "basic", 30))
	_, choice, err := Open("io_uring", Config{})
	if err != nil || choice.String() != "io_uring (basic; io_uring:full: invalid argument)" {
		t.Errorf("choice %v, %v", choice, err)
	}
}

func TestOpenNothingWorks(t *testing.T) {
	register(t, fails("epoll", "", 20, syscall.EMFILE), fails("select", "", 10, syscall.ENFILE))
	b, _, err := Open("", Config{})
	if b != nil || !errors.Is(err, syscall.EMFILE) || !errors.Is(err, syscall.ENFILE) {
		t.Errorf("opened %v, %v", b, err)
	}
}

func TestOpenConfig(t *testing.T) {
	ladder(t)
	for _, cfg := range []Config{
		{Entries: -1}, {Entries: 3}, {Entries: 1 << 16},
		{BufferSize: -4096}, {BufferSize: 1000}, {BufferSize: 1<<30 + 4096},
		{BufferCount: -1}, {BufferCount: 6}, {BufferCount: 1 << 16},
		{MaxOps: -1}, {MaxOps: 1<<30 + 1},
	} {
		if _, _, err := Open("", cfg); err == nil || !strings.Contains(err.Error(), "Config.") {
			t.Errorf("Open with %+v: %v; want an error that names the field", cfg, err)
		}
	}
	for _, cfg := range []Config{
		{}, {Entries: 1}, {Entries: 1 << 15}, {BufferSize: 1}, {BufferSize: 1 << 26}, {BufferCount: 1}, {BufferCount: 1 << 15},
		{MaxOps: 1}, {MaxOps: 1 << 30},
	} {
		if b, _, err := Open("", cfg); err != nil || b.(opened).cfg != cfg {
			t.Errorf("Open with %+v: %v, %v", cfg, b, err)
		}
	}
}

func TestRegister(t *testing.T) {
	ladder(t)
	for _, d := range []Driver{
		{}, {Name: "x"}, works("", "", 1), works("auto", "", 1), works("a b", "", 1), works("a:b", "", 1), works("a", "b:c", 1),
		works("epoll", "", 99), works("io_uring", "full", 1),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Register takes %+v", d)
				}
			}()
			Register(d)
		}()
	}
	Register(works("epoll", "other", 20))
	var got []string
	for _, d := range Drivers() {
		got = append(got, d.full())
	}
	want := []string{"io_uring:full", "io_uring:basic", "epoll", "epoll:other", "select", "io_uring/other:full", "mine"}
	if !slices.Equal(got, want) {
		t.Errorf("drivers are %v, want %v", got, want)
	}
	Drivers()[0].Name = "changed"
	if Drivers()[0].Name == "changed" {
		t.Error("Drivers gives away its list")
	}
}
