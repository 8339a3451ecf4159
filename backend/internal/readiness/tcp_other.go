//go:build unix && !linux

package readiness

// isTCP is of use to a poller that reports changes, and here is none.
func isTCP(int32) bool { return false }
