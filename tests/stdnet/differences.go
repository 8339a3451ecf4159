package main

import (
	"regexp"
	"strings"
)

// difference is a test that fails over eyewall, with its subtests.
type difference struct {
	suite, test, reason string

	says      string // a regular expression: what it prints, since it could also fail for another reason
	sometimes bool   // it also passes
	skipped   bool   // it is not run, for it would not end
}

// differences is the tests that are expected to fail, and why.
var differences = []difference{
	// These look into package net, or put something in the place of a part of it.
	{suite: "net", test: "TestBuffers_WriteTo", says: `write calls = 0`,
		reason: "counts package net's calls of writev; eyewall gets a Write for each buffer"},
	{suite: "net", test: "TestDialContextCancelRace", says: `unexpected successful dial`,
		reason: "puts a function in the place of package net's connect"},
	{suite: "net", test: "TestDialerKeepAlive", says: `SetKeepAlive set to -1ns`,
		reason: "looks at package net's hook for the keep-alive time"},
	{suite: "net", test: "TestDialTCPDefaultKeepAlive", says: `got keepalive -1ns`,
		reason: "looks at package net's hook for the keep-alive time"},
	{suite: "net", test: "TestTCPConnKeepAliveConfigDialer", says: `want 0s`,
		reason: "takes the system's settings from package net's hook before it sets a connection's"},
	{suite: "net", test: "TestTCPConnKeepAliveConfigListener", says: `want 0s`,
		reason: "takes the system's settings from package net's hook before it sets a connection's"},
	{suite: "net", test: "TestSendfile", says: `poll\.SendFile was not called`,
		reason: "looks at package net's hook for sendfile, which eyewall calls by itself"},
	{suite: "net", test: "TestSendfileParts", says: `poll\.SendFile was not called`,
		reason: "looks at package net's hook for sendfile, which eyewall calls by itself"},
	{suite: "net", test: "TestSendfileSeeked", says: `poll\.SendFile was not called`,
		reason: "looks at package net's hook for sendfile, which eyewall calls by itself"},
	{suite: "net", test: "TestSendfileWithExactLimit", says: `poll\.SendFile was not called`,
		reason: "looks at package net's hook for sendfile, which eyewall calls by itself"},
	{suite: "net", test: "TestSendfileWithLargeFile", says: `poll\.SendFile was not called`,
		reason: "looks at package net's hook for sendfile, which eyewall calls by itself"},
	{suite: "net", test: "TestSendfileWithLimitLargerThanFile", says: `poll\.SendFile was not called`,
		reason: "looks at package net's hook for sendfile, which eyewall calls by itself"},

	// Errors that are the same in meaning, and of another type or text.
	{suite: "net", test: "TestDialAddrError/tcp4", says: `error Addr="\[::1\]:0", want "::1"`,
		reason: "the AddrError of an address of the wrong family has the port, too"},
	{suite: "net", test: "TestDialAddrError/tcp6", says: `OpError\.Err is \*net\.DNSError`,
		reason: "DialTCP's address, whose IP has 8 bytes, comes to eyewall as text"},
	{suite: "net", test: "TestDialError/3", says: `2nd nested level: \*errors\.errorString`,
		reason: `wants package net's unexported error "missing address"`},
	{suite: "net", test: "TestDialTimeout", says: `level: reactor\.timeoutError|can't reduce Timeout`,
		reason: "wants package net's unexported error of a timeout; a dial may also succeed within a timeout of 1 ns"},

	// Eyewall does otherwise.
	{suite: "net", test: "TestDialerLocalAddr", says: `got <nil>; want some error`,
		reason: `a LocalAddr of "::" is any address of the family that is dialed, also with "tcp4"`},
	{suite: "net", test: "TestFileFdBlocks", says: `through os.File.Fd is non-blocking`,
		reason: "Fd of the *os.File leaves it non-blocking; only package net can make a file whose Fd does not"},
	{suite: "net", test: "TestFileListener/unix", skipped: true,
		reason: "a listener accepts ahead, so that a duplicate beside it may wait for a connection for ever"},
	{suite: "net", test: "TestMultiPathTCP", says: `connection is not with MPTCP`,
		reason: "eyewall has no Multipath TCP"},
	{suite: "net", test: "TestSplice", says: `expected poll\.Splice to be called`,
		reason: "wants splice(2) from connection to connection; shared ones copy"},
	{suite: "net/http", test: "TestLinuxSendfile", skipped: true,
		reason: "a listener accepts ahead, so that a duplicate in another process may wait for a connection for ever"},
	{suite: "net/http", test: "TestTransportEventTrace", says: `expected substring "Connecting to`,
		reason: "httptrace's events of connecting do not come (reactor.Dialer)"},
	{suite: "net/http", test: "TestTransportEventTraceRealDNS", says: `should not see Connect events`,
		reason: "httptrace's events of connecting are those of the resolver (reactor.Dialer)"},
	{suite: "net/http", test: "TestTransportPersistConnLeak", says: `too many new goroutines`, sometimes: true,
		reason: "counts goroutines, and a loop keeps those of tasks that have ended for a second or two"},
}

// differenceOf is the one that expects the failure of a test, by what it printed, or nil.
func differenceOf(suite, test, output string) *difference {
	for i, d := range differences {
		if d.suite == suite && strings.HasPrefix(test+"/", d.test+"/") && regexp.MustCompile(d.says).MatchString(output) {
			return &differences[i]
		}
	}
	return nil
}

// skipped is a pattern, as of go test, for the tests of a suite that are not run over eyewall; empty if there are none.
func skipped(suite string) string {
	var patterns []string
	for _, d := range differences {
		if d.suite == suite && d.skipped {
			parts := strings.Split(d.test, "/")
			for i, p := range parts {
				parts[i] = "^" + regexp.QuoteMeta(p) + "$"
			}
			patterns = append(patterns, strings.Join(parts, "/"))
		}
	}
	return strings.Join(patterns, "|")
}
