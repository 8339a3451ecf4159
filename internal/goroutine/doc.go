// Package goroutine tells goroutines apart in a few nanoseconds, on the architectures that it knows: see Known.
package goroutine
