//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/bench/internal/machine"
	"github.com/eyewall/eyewall/bench/internal/plan"
)

// A program of these tests first takes something away from itself, as an administrator or a container would have.
const (
	without        = "EYEWALL_BENCH_TEST_WITHOUT"
	descriptors    = "descriptors"
	ioURing        = "io_uring"
	fewDescriptors = 512
)

// giveUp is called before main.
func giveUp(what string) error {
	runtime.LockOSThread()
	switch what {
	case descriptors: // and the privilege to have more again, which takes an exec to be lost
		limit := unix.Rlimit{Cur: fewDescriptors, Max: fewDescriptors}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_RESOURCE, 0, 0, 0)
		env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, without+"=") })
		return unix.Exec("/proc/self/exe", os.Args, env)
	case ioURing: // as container runtimes do
		return denyIOURing()
	}
	return nil
}

// denyIOURing makes io_uring_setup fail with EPERM from here on, in children too.
func denyIOURing() error {
	const number, equal, result = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{
		{Code: number},
		{Code: equal, K: unix.SYS_IO_URING_SETUP, Jf: 1},
		{Code: result, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: result, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

func TestBackendThatIsDenied(t *testing.T) {
	p := newProgram(t, append(small, "-backends", "io_uring,epoll", "-measure", "load", "-forms", "task")...)
	p.Env = append(p.Env, without+"="+ioURing)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.finish(t, 0)
	good := 0
	for _, r := range p.rows(t).Rows {
		if r.Server == "epoll task" && r.Failed == "" {
			good++
		}
	}
	if good == 0 || !strings.Contains(p.stdout.String(), "io_uring task could not be started") {
		t.Errorf("%d rows of epoll\n%s", good, p.stdout.String())
	}
	p.page(t)
}

func TestFewDescriptors(t *testing.T) {
	p := newProgram(t, append(small, "-conns", "20,5000", "-measure", "load,memory,crowd", "-idle", "3000", "-crowd", "10,4000", "-sizes", "64",
		"-pipeline", "1", "-backends", "epoll", "-forms", "handler")...)
	p.Env = append(p.Env, without+"="+descriptors)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.finish(t, 0)
	most, crowd := 0, 0
	for _, r := range p.rows(t).Rows {
		if r.Failed != "" {
			t.Errorf("%v: %s", r.Cell, r.Failed)
		}
		most = max(most, r.Conns)
		crowd = max(crowd, r.Idle)
	}
	if crowd < 10 || crowd > fewDescriptors-plan.BaseConns || !strings.Contains(p.stdout.String(), "4,000 idle connections beside busy ones became") {
		t.Errorf("%d idle connections with %d descriptors:\n%s", crowd, fewDescriptors, p.stdout.String())
	}
	if most < fewDescriptors/2 || most > fewDescriptors {
		t.Errorf("%d connections with %d descriptors", most, fewDescriptors)
	}
	if want := fmt.Sprintf("may open %d descriptors", fewDescriptors); !strings.Contains(p.stdout.String(), want) {
		t.Errorf("it does not say why there are fewer connections:\n%s", p.stdout.String())
	}
}

// As many loops as there are CPUs leave the client none: it shares them, and the run says so.
func TestLoopsOnAllCPUs(t *testing.T) {
	cpus := machine.Allowed()
	if len(cpus) > 8 {
		t.Skipf("%d loops are many for a test", len(cpus))
	}
	p := newProgram(t, append(small, "-conns", "30", "-measure", "load,accept", "-sizes", "64", "-pipeline", "1", "-loops", fmt.Sprint(max(2, len(cpus))),
		"-accept", "each,one", "-backends", "epoll", "-forms", "handler")...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.finish(t, 0)
	run := p.rows(t)
	if all := machine.FormatCPUs(cpus); !run.Head.Shared || run.Head.ServerCPUs != all || run.Head.ClientCPUs != all {
		t.Errorf("server on %s, client on %s, shared: %v", run.Head.ServerCPUs, run.Head.ClientCPUs, run.Head.Shared)
	}
	if !strings.Contains(p.stdout.String(), "CPUs in common") && !strings.Contains(p.stdout.String(), "There is one CPU") {
		t.Errorf("it does not say that server and client shared CPUs:\n%s", p.stdout.String())
	}
	count := map[string]int{}
	for _, r := range run.Rows {
		count[r.Server]++
		if r.Failed != "" {
			t.Errorf("%s, %v: %s", r.Server, r.Cell, r.Failed)
		}
	}
	if count["epoll handler"] != 2 || count["epoll handler one"] != 2 {
		t.Errorf("rows: %v", count)
	}
}

func TestOneCPU(t *testing.T) {
	p := newProgram(t, append(small, "-conns", "5", "-measure", "load,latency", "-rates", "300", "-sizes", "64", "-pipeline", "1",
		"-backends", "epoll", "-forms", "handler", "-server-cpus", "0", "-client-cpus", "0")...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.finish(t, 0)
	if !strings.Contains(p.stdout.String(), "CPUs in common") && !strings.Contains(p.stdout.String(), "There is one CPU") {
		t.Errorf("it does not say that server and client shared a CPU:\n%s", p.stdout.String())
	}
	for _, r := range p.rows(t).Rows {
		if r.Failed != "" {
			t.Errorf("%v: %s", r.Cell, r.Failed)
		}
	}
}
