//go:build openbsd || (solaris && !illumos)

package sock

// They are zero where probes cannot be set up, or not by options that all versions have.
const (
	keepIdle     = 0
	keepInterval = 0
	keepCount    = 0
)
