//go:build unix

package readiness

// RecvReads is for the tests in readiness_test.
const RecvReads = recvReads
