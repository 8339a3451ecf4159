// Package testenv decides whether a test is skipped if the system denies its backend.
package testenv

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// RequireVar names the environment variable that lists backends, by commas, whose tests must not be skipped:
// "io_uring", or one rung of it, as in "io_uring:full".
const RequireVar = "EYEWALL_REQUIRE"

// denials are the errors of a system that does not have a backend or a rung, or does not let us have it. Others, such
// as ENOMEM or EMFILE, are none: to skip a test for them would hide faults.
var denials = []error{syscall.EPERM, syscall.EACCES, syscall.ENOSYS}

// rungDenials are those of an older kernel that has the backend and lacks a rung.
var rungDenials = append([]error{syscall.EOPNOTSUPP, syscall.EINVAL}, denials...)

// Need skips a test that Has denies its backend.
func Need(t testing.TB, name string, err error) {
	t.Helper()
	if !Has(t, name, err) {
		t.SkipNow()
	}
}

// Has reports whether err, from opening a backend, is nil. If the system denies the backend, Has logs that, or fails
// the test if RequireVar lists the backend; any other error fails the test. The name is whole, such as "epoll" or
// "io_uring:full".
func Has(t testing.TB, name string, err error) bool {
	t.Helper()
	known := denials
	if strings.Contains(name, ":") {
		known = rungDenials
	}
	switch {
	case err == nil:
		return true
	case !slices.ContainsFunc(known, func(d error) bool { return errors.Is(err, d) }):
		t.Fatalf("cannot open %s: %v", name, err)
	case slices.ContainsFunc(Required(), func(asked string) bool { return Is(asked, name) }):
		t.Fatalf("%s is denied here, and %s asks for it: %v", name, RequireVar, err)
	}
	t.Logf("%s is denied here: %v", name, err)
	return false
}

// Required lists the backends that RequireVar asks for.
func Required() []string {
	return strings.FieldsFunc(os.Getenv(RequireVar), func(r rune) bool { return r == ',' })
}

// Is reports whether asked, as RequireVar lists it, means the backend of that whole name: it is that name, or lacks the
// rung, or the name of the build behind the slash, as in "io_uring/giouring".
func Is(asked, name string) bool {
	build, _, _ := strings.Cut(name, ":")
	family, _, _ := strings.Cut(build, "/")
	return asked == name || asked == build || asked == family
}
