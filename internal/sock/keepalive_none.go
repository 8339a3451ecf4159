//go:build openbsd || (solaris && !illumos)

package sock

// keepIdle is zero where a connection's idle time cannot be set, or not by one option that all versions have.
const keepIdle = 0
