//go:build !((amd64 || arm64) && gc && !purego)

package goroutine

// Known tells whether this build can tell goroutines apart.
const Known = false

// ID is zero, since it is not known.
func ID() uintptr { return 0 }

// Is is false, since it is not known.
func Is(*uintptr) bool { return false }
