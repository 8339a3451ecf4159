// Package backendtest is the conformance suite that every [backend.Backend] passes, ours or a user's. [Run] runs it,
// [Checked] wraps any backend in asserts of the contract, and [Transcript] and [Fuzz] compare what a random script of
// operations does on one backend with what it must do.
//
// A backend's test is a line:
//
//	func TestConformance(t *testing.T) { backendtest.Run(t, epoll.Open) }
//
// The tests use the real kernel: sockets on the loopback interface, unix sockets, pipes. Each opens a backend of its
// own, drives it from one thread, and leaves no descriptor and no goroutine behind.
//
// It runs on Linux, macOS and the BSDs.
package backendtest
