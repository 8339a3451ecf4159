//go:build darwin || solaris || aix

package readiness

// noSignal is no flag where x/sys knows of none: like package net, we leave it to the Go runtime to ignore SIGPIPE.
const noSignal = 0
