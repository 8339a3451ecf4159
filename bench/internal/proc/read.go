//go:build linux

package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CPUTime is what a process has used, user and system, all its threads, in ns. The clock counts what runs right now,
// too, which /proc/PID/stat (10 ms) and schedstat (up to a tick) do not.
func CPUTime(pid int) (int64, error) {
	const scheduled = 2 // CPUCLOCK_SCHED; see clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return t.Nano(), nil
}

// RSS is the memory of a process that is there, in bytes. smaps_rollup counts pages; VmRSS is off by up to 64 for each
// CPU.
func RSS(pid int) (int64, error) {
	kb, err := field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Rss:")
	if err != nil {
		kb, err = field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	}
	return kb << 10, err
}

// ReadsAndWrites is how many calls of the read and write families a process has made. Those of other names, waits above
// all, are not among them.
func ReadsAndWrites(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/io", pid)
	r, err := field(path, "syscr:")
	if err != nil {
		return 0, err
	}
	w, err := field(path, "syscw:")
	return r + w, err
}

// field returns the number behind a key in a file of /proc.
func field(path, key string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				return strconv.ParseInt(string(f[0]), 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, key)
}
