package backend

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// EnvVar names the environment variable that chooses a backend where the program chooses none.
const EnvVar = "EYEWALL_BACKEND"

// Auto as a name lets Open choose.
const Auto = "auto"

// Driver is a way to open a backend. Import package backend/all for eyewall's own.
type Driver struct {
	Name string // what a user calls it, such as "epoll"; a part after a slash tells builds of it apart
	Rung string // which of several variants under one name this is; may be empty
	Rank int    // Auto tries drivers from the highest to the lowest; below 1 it never takes this one
	Open func(Config) (Backend, error)
}

var drivers struct {
	sync.Mutex
	list []Driver // from the highest rank to the lowest
}

// Register adds a driver, for Open to find. It is for init functions, and panics where name and rung are taken or
// something is missing. Any goroutine may call it.
func Register(d Driver) {
	drivers.Lock()
	defer drivers.Unlock()
	switch {
	case d.Name == "" || d.Name == Auto || strings.ContainsAny(d.Name+d.Rung, ": \n") || d.Open == nil:
		panic(fmt.Sprintf("backend: Register: driver %q needs a name other than %q, without colon or space, and an Open function", d.Name, Auto))
	case slices.ContainsFunc(drivers.list, func(o Driver) bool { return o.Name == d.Name && o.Rung == d.Rung }):
		panic(fmt.Sprintf("backend: Register: driver %q is there already", d.full()))
	}
	drivers.list = append(drivers.list, d)
	slices.SortStableFunc(drivers.list, func(a, b Driver) int { return b.Rank - a.Rank })
}

// Drivers lists what is registered, from the highest rank to the lowest. Any goroutine may call it.
func Drivers() []Driver {
	drivers.Lock()
	defer drivers.Unlock()
	return slices.Clone(drivers.list)
}

// full is the name with the rung, as Open takes it: "io_uring:basic".
func (d Driver) full() string {
	if d.Rung == "" {
		return d.Name
	}
	return d.Name + ":" + d.Rung
}

// is tells whether name asks for d: by its whole name, with or without the rung, or by the part before the slash.
func (d Driver) is(name string) bool {
	name, rung, forced := strings.Cut(name, ":")
	family, _, _ := strings.Cut(d.Name, "/")
	return (name == d.Name || name == family) && (!forced || rung == d.Rung)
}

// Choice tells which driver Open took, and why not the ones above it.
type Choice struct {
	Name   string
	Rung   string
	Passed []Refusal
}

// Refusal is a driver that could not be opened.
type Refusal struct {
	Name string // with its rung
	Err  error
}

// String reads "io_uring (full)", or "epoll (io_uring:full: EPERM from io_uring_setup)".
func (c Choice) String() string {
	var notes []string
	if c.Rung != "" {
		notes = append(notes, c.Rung)
	}
	for _, p := range c.Passed {
		notes = append(notes, p.Name+": "+p.Err.Error())
	}
	if notes == nil {
		return c.Name
	}
	return c.Name + " (" + strings.Join(notes, "; ") + ")"
}

// Open opens the backend of that name: "io_uring", "epoll", "select", another that was registered, or one rung of it,
// as in "io_uring:basic". An empty name stands for the environment variable EYEWALL_BACKEND, and where that is empty
// too for Auto, which takes the best there is: io_uring where the kernel has it and lets us, else epoll, else select.
// Where a name has several rungs the best is taken. Any goroutine may call it.
func Open(name string, cfg Config) (Backend, Choice, error) {
	from := ""
	if name == "" {
		if name = os.Getenv(EnvVar); name != "" {
			from = " (from " + EnvVar + ")"
		} else {
			name = Auto
		}
	}
	if err := cfg.check(); err != nil {
		return nil, Choice{}, err
	}
	var c Choice
	known := false
	for _, d := range Drivers() {
		if !d.is(name) && !(name == Auto && d.Rank > 0) {
			continue
		}
		known = true
		b, err := d.Open(cfg)
		if err == nil {
			c.Name, c.Rung = d.Name, d.Rung
			return b, c, nil
		}
		c.Passed = append(c.Passed, Refusal{d.full(), err})
	}
	if len(Drivers()) == 0 {
		return nil, c, errors.New("backend: none is registered; import github.com/eyewall/eyewall/backend/all for eyewall's own")
	}
	if !known {
		return nil, c, fmt.Errorf("backend: unknown backend %q%s; known here: %s", name, from, strings.Join(names(), ", "))
	}
	format, args := "backend: cannot open %q%s", []any{name, from}
	for i, p := range c.Passed {
		format += []string{": ", "; "}[min(i, 1)] + "%s: %w"
		args = append(args, p.Name, p.Err)
	}
	return nil, c, fmt.Errorf(format, args...)
}

// names lists what Open takes, Auto first.
func names() []string {
	list := []string{Auto}
	for _, d := range Drivers() {
		if family, _, _ := strings.Cut(d.Name, "/"); !slices.Contains(list, family) {
			list = append(list, family)
		}
		if full := d.full(); !slices.Contains(list, full) {
			list = append(list, full)
		}
	}
	return list
}

func (cfg Config) check() error {
	for _, f := range []struct {
		name       string
		value, max int
	}{
		{"Entries", cfg.Entries, 1 << 15},
		{"BufferSize", cfg.BufferSize, 1 << 26},
		{"BufferCount", cfg.BufferCount, 1 << 15},
	} {
		if f.value < 0 || f.value > f.max || f.value&(f.value-1) != 0 {
			return fmt.Errorf("backend: Config.%s is %d; it must be a power of two up to %d, or 0 for the default", f.name, f.value, f.max)
		}
	}
	if cfg.MaxOps < 0 || cfg.MaxOps > 1<<30 {
		return fmt.Errorf("backend: Config.MaxOps is %d; it must be from 1 to %d, or 0 for the default", cfg.MaxOps, 1<<30)
	}
	return nil
}
