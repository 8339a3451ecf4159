//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"testing"

	"github.com/eyewall/eyewall/backend"
)

// Open opens a backend.
type Open = func(backend.Config) (backend.Backend, error)

// Run runs the suite. A backend that cannot be opened fails it: whoever calls Run finds out first whether the system
// denies the backend, and says so. No other test may open descriptors or start goroutines at the same time: the suite
// looks for those that are left.
func Run(t *testing.T, open Open) {
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, test := range g.tests {
				if !test.everyNet {
					t.Run(test.name, func(t *testing.T) { drive(t, open, unixNet, test.options, test.body) })
					continue
				}
				for _, net := range networks() {
					if test.tcpOnly && net == unixNet {
						continue
					}
					t.Run(test.name+"/"+string(net), func(t *testing.T) { drive(t, open, net, test.options, test.body) })
				}
			}
		})
	}
}

// test is one test of the suite.
type test struct {
	name string
	body func(r *rig)
	options
	everyNet bool // once over each network
	tcpOnly  bool // of these, TCP only
}

type group struct {
	name  string
	tests []test
}

var groups = []group{
	{"transfer", transferTests},
	{"order", orderTests},
	{"ends", endTests},
	{"accept", acceptTests},
	{"buffers", bufferTests},
	{"splice", spliceTests},
	{"sendfile", sendFileTests},
	{"cancel", cancelTests},
	{"timeout", timeoutTests},
	{"thorough", thoroughTests},
	{"close", closeTests},
	{"poll", pollTests},
	{"files", fileTests},
	{"wake", wakeTests},
	{"overflow", overflowTests},
	{"memory", memoryTests},
	{"threads", threadTests},
	{"script", scriptTests},
	{"storm", stormTests},
}
