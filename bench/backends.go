//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eyewall/eyewall/backend"
)

// A program holds one of the two rings that io_uring can run on: eyewall's own, or giouring's where the build tag asks
// for it. The other one is measured by a second build.
const (
	ownRing  = "io_uring"
	giouring = "io_uring/giouring"
)

// defaultBackends lists what is measured where the user names none: each backend that this program holds, on its best
// rung, and eyewall's own ring beside giouring's.
func defaultBackends() (names []string) {
	drivers := backend.Drivers()
	slices.Reverse(drivers) // from the simplest to the fastest
	for _, d := range drivers {
		if d.Rank < 1 || slices.Contains(names, d.Name) { // the former are for tests
			continue
		}
		if d.Name == giouring {
			names = append(names, ownRing)
		}
		names = append(names, d.Name)
	}
	return names
}

// held tells whether this program holds the backend.
func held(name string) bool {
	base, _, _ := strings.Cut(name, ":")
	return slices.ContainsFunc(backend.Drivers(), func(d backend.Driver) bool { return d.Name == base })
}

// known tells whether there is a backend of that name, here or in a second build, whether or not it can be opened.
func known(name string) error {
	base, rung, forced := strings.Cut(name, ":")
	for _, d := range backend.Drivers() {
		family, _, _ := strings.Cut(d.Name, "/")
		if (base == d.Name || family == ownRing && (base == ownRing || base == giouring)) && (!forced || rung == d.Rung) {
			return nil
		}
	}
	return fmt.Errorf("-backends: there is no %q; there are %s", name, strings.Join(defaultBackends(), ", "))
}
