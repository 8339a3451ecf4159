//go:build !linux

// Bench compares eyewall's backends. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it runs on Linux only: two of the backends, the client and what it measures are Linux's")
	os.Exit(1)
}
