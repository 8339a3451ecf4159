package reactor

import (
	"os"
	"strings"
)

// descriptors tells which descriptors the process has, and what each is.
func descriptors() map[string]string {
	const dir = "/proc/self/fd"
	entries, _ := os.ReadDir(dir)
	found := map[string]string{}
	for _, e := range entries {
		if what, err := os.Readlink(dir + "/" + e.Name()); err == nil && !strings.HasPrefix(what, "/proc/") {
			found[e.Name()] = what
		}
	}
	return found
}
