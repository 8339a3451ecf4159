//go:build linux

package machine

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Use is how some CPUs were used since the machine started, in seconds.
type Use struct {
	at    time.Time
	busy  float64 // by anybody
	steal float64 // that the host gave to others
	own   float64 // by this process and its joined children
}

// Look reads it, for the CPUs on which this process has children.
func Look(cpus ...int) Use {
	u := Use{at: time.Now()}
	data, _ := os.ReadFile("/proc/stat")
	const hz = 100 // USER_HZ, whatever the kernel's own is
	for line := range bytes.Lines(data) {
		fields := bytes.Fields(line)
		if len(fields) == 0 || !named(fields[0], cpus) {
			continue
		}
		for i, f := range fields {
			v, _ := strconv.ParseFloat(string(f), 64)
			switch i {
			case 1, 2, 3, 6, 7: // user, nice, system, irq, softirq
				u.busy += v / hz
			case 8:
				u.steal += v / hz
			}
		}
	}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if unix.Getrusage(who, &r) == nil {
			u.own += time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
		}
	}
	return u
}

// named tells whether a line of /proc/stat that begins so is about one of the CPUs.
func named(word []byte, cpus []int) bool {
	number, ok := bytes.CutPrefix(word, []byte("cpu"))
	n, err := strconv.Atoi(string(number))
	return ok && err == nil && slices.Contains(cpus, n)
}

// Since tells how many CPUs others have kept busy since then, and how many the host has taken away. Children that were
// not joined count as others.
func (u Use) Since(then Use) (others, stolen float64) {
	elapsed := u.at.Sub(then.at).Seconds()
	if elapsed <= 0 {
		return 0, 0
	}
	return max(0, (u.busy-then.busy-(u.own-then.own))/elapsed), max(0, (u.steal-then.steal)/elapsed)
}
