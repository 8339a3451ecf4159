//go:build linux

// Package machine tells what the benchmark runs on, and what that sets limits to.
package machine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

// Facts is what a reader of the figures should know.
func Facts() []rows.Fact {
	var u unix.Utsname
	unix.Uname(&u)
	return []rows.Fact{
		{Name: "Processor", Text: processor()},
		{Name: "Memory", Text: memory()},
		{Name: "Kernel", Text: fmt.Sprintf("%s %s %s", text(u.Sysname[:]), text(u.Release[:]), text(u.Machine[:]))},
		{Name: "Go", Text: strings.TrimPrefix(runtime.Version(), "go") + " " + runtime.GOOS + "/" + runtime.GOARCH},
		{Name: "Load before the start", Text: loadAverage()},
	}
}

func text(b []byte) string { return unix.ByteSliceToString(b) }

func processor() string {
	model, virtual := "unknown model", ""
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(info) {
		key, value, _ := strings.Cut(string(line), ":")
		switch key, value = strings.TrimSpace(key), strings.TrimSpace(value); key {
		case "model name":
			model = value
		case "flags":
			if slices.Contains(strings.Fields(value), "hypervisor") {
				virtual = ", virtual"
			}
		}
	}
	return fmt.Sprintf("%s, %s%s", model, rows.Plural(len(Allowed()), "CPU"), virtual)
}

func memory() string {
	var s unix.Sysinfo_t
	unix.Sysinfo(&s)
	return fmt.Sprintf("%.1f GiB", float64(s.Totalram)*float64(s.Unit)/(1<<30))
}

func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(data)); err == nil && len(f) > 1 {
		return f[0] + " (1 min), " + f[1] + " (5 min)"
	}
	return "unknown"
}

// Allowed is the CPUs that this process may use.
func Allowed() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var list []int
	for c := 0; len(list) < set.Count(); c++ {
		if set.IsSet(c) {
			list = append(list, c)
		}
	}
	return list
}

// Siblings is the CPUs that share a core with cpu, itself among them.
func Siblings(cpu int) []int {
	data, err := os.ReadFile(filepath.Join("/sys/devices/system/cpu", "cpu"+strconv.Itoa(cpu), "topology/thread_siblings_list"))
	if err != nil {
		return []int{cpu}
	}
	list, err := ParseCPUs(strings.TrimSpace(string(data)))
	if err != nil {
		return []int{cpu}
	}
	return list
}

// ParseCPUs reads a list such as 0,2-5.
func ParseCPUs(s string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(s, ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		a, err1 := strconv.Atoi(low)
		b, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || a < 0 || b < a || b > 1023 {
			return nil, fmt.Errorf("%q is no list of CPUs such as 0 or 0,2-5", s)
		}
		for c := a; c <= b; c++ {
			if !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	slices.Sort(list)
	return list, nil
}

// FormatCPUs is the opposite of ParseCPUs.
func FormatCPUs(list []int) string {
	var parts []string
	for i := 0; i < len(list); {
		k := i
		for k+1 < len(list) && list[k+1] == list[k]+1 {
			k++
		}
		if k == i {
			parts = append(parts, strconv.Itoa(list[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", list[i], list[k]))
		}
		i = k + 1
	}
	return strings.Join(parts, ",")
}

// RaiseDescriptors makes the limit of open descriptors what the kernel allows, up to want, and returns what it is then.
// Children inherit it.
func RaiseDescriptors(want int) int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 1024
	}
	if r.Cur >= uint64(want) {
		return int(min(r.Cur, 1<<30))
	}
	more := unix.Rlimit{Cur: uint64(want), Max: max(r.Max, uint64(want))} // beyond the hard limit takes a privilege
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &more) != nil {
		more = unix.Rlimit{Cur: min(r.Max, uint64(want)), Max: r.Max}
		unix.Setrlimit(unix.RLIMIT_NOFILE, &more)
	}
	unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	return int(min(r.Cur, 1<<30))
}
