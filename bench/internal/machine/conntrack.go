//go:build linux

package machine

import (
	"os"
	"strconv"
	"strings"
)

// Conntrack tells whether the kernel tracks connections (nf_conntrack, as firewalls and containers want it), and how
// many more it can. A table that is full drops packets, and an orderly close keeps its entry for two minutes.
func Conntrack() (room int, on bool) {
	count, ok1 := sysctl("count")
	most, ok2 := sysctl("max")
	return most - count, ok1 && ok2
}

func sysctl(name string) (int, bool) {
	text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_" + name)
	if err != nil {
		return 0, false
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return v, err == nil
}
