//go:build !eyewall_portable

package backendtest

// manyPairs is how many connections a test may have open.
const manyPairs = 700

// acceptAllocates is how often an Accept may allocate.
const acceptAllocates = 0
