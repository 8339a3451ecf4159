//go:build linux

package load

import (
	"math"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/bench/internal/control"
)

// serve echoes, each message changed by spoil first, until the test ends.
func serve(t *testing.T, spoil func([]byte)) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					spoil(buf[:n])
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// measure does what Main does, in this process.
func measure(t *testing.T, spec control.Spec) *control.Result {
	t.Helper()
	spec.PID = os.Getpid()
	win := &window{duration: spec.Duration, pid: spec.PID}
	win.from.Store(math.MaxInt64)
	win.to.Store(math.MaxInt64)
	workers, _, err := setUp(&spec, win)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workers {
		go w.run()
	}
	time.Sleep(spec.Warmup)
	win.asked.Store(true)
	for _, w := range workers {
		<-w.done
	}
	r, err := sum(&spec, win, workers)
	if err != nil {
		t.Fatal(err)
	}
	win.stop.Store(true)
	return r
}

func TestClosedLoop(t *testing.T) {
	for _, spec := range []control.Spec{
		{Conns: 5, Size: 64, Depth: 1, Threads: 1},
		{Conns: 5, Size: 100, Depth: 7, Threads: 2},
		{Conns: 2, Size: 300 << 10, Depth: 2, Threads: 1},
	} {
		spec.Mode, spec.Addr, spec.Warmup, spec.Duration = control.Closed, serve(t, func([]byte) {}), 20*time.Millisecond, 100*time.Millisecond
		r := measure(t, spec)
		if r.Messages == 0 || r.Mismatches != 0 || r.Errors != 0 || r.P50 <= 0 || r.P50 > r.Max || r.ServerCPU <= 0 || r.ClientCPU <= 0 {
			t.Errorf("%+v: %+v", spec, r)
		}
		h, err := hdrhistogram.Decode([]byte(r.Histogram))
		if err != nil || uint64(h.TotalCount()) != r.Messages {
			t.Errorf("histogram: %v, %d of %d messages", err, h.TotalCount(), r.Messages)
		}
	}
}

func TestALyingServerIsFoundOut(t *testing.T) {
	var n atomic.Int64
	addr := serve(t, func(p []byte) {
		if len(p) > 10 && n.Add(1)%50 == 0 {
			p[len(p)/2] ^= 0x40
		}
	})
	r := measure(t, control.Spec{Mode: control.Closed, Addr: addr, Conns: 4, Size: 64, Depth: 1, Threads: 1, Duration: 100 * time.Millisecond})
	if r.Mismatches == 0 {
		t.Errorf("%+v", r)
	}
}

// A server that stalls for 100 ms holds up all the messages that are due meanwhile. A closed loop would see one slow
// message for each connection.
func TestOpenLoopCountsWhatAStallHeldUp(t *testing.T) {
	const stall = 100 * time.Millisecond
	var began atomic.Int64
	addr := serve(t, func([]byte) {
		if d := time.Duration(nanotime() - began.Load()); d > 200*time.Millisecond && d < 200*time.Millisecond+stall {
			time.Sleep(200*time.Millisecond + stall - d)
		}
	})
	began.Store(nanotime())
	r := measure(t, control.Spec{Mode: control.Open, Addr: addr, Conns: 4, Size: 64, Depth: 1, Rate: 2000, Threads: 1,
		Warmup: 50 * time.Millisecond, Duration: 400 * time.Millisecond})
	h, err := hdrhistogram.Decode([]byte(r.Histogram))
	if err != nil {
		t.Fatal(err)
	}
	if n := h.TotalCount(); n < 780 || n > 820 || r.Unanswered != 0 || r.Mismatches != 0 {
		t.Errorf("%d of 800 messages in the window: %+v", n, r)
	}
	slow := 0 // those that the stall held up by more than 20 ms: 4 in 5 of those due in it
	for _, b := range h.Distribution() {
		if b.From > int64(20*time.Millisecond) {
			slow += int(b.Count)
		}
	}
	if slow < 100 || r.Max < 60e3 {
		t.Errorf("%d slow messages, the slowest %.0f µs", slow, r.Max)
	}
}

func TestChurn(t *testing.T) {
	for _, reset := range []bool{false, true} {
		r := measure(t, control.Spec{Mode: control.Churn, Addr: serve(t, func([]byte) {}), Conns: 8, Size: 64, Depth: 1, Threads: 1,
			Warmup: 10 * time.Millisecond, Duration: 50 * time.Millisecond, Reset: reset})
		if r.Messages == 0 || r.Mismatches != 0 || r.Errors != 0 {
			t.Errorf("reset %v: %+v", reset, r)
		}
	}
}

// The crowd does nothing while the others are busy, and is served when it does something.
func TestCrowd(t *testing.T) {
	spec := control.Spec{Mode: control.Closed, Addr: serve(t, func([]byte) {}), Conns: 3, Idle: 70, Size: 64, Depth: 1, Threads: 1}
	workers, crowd, err := setUp(&spec, &window{})
	if err != nil {
		t.Fatal(err)
	}
	if len(crowd) != 70 || len(workers) != 1 || len(workers[0].conns) != 3 {
		t.Fatalf("%d connections of the crowd, %d workers", len(crowd), len(workers))
	}
	if err := pingAll(crowd, spec.Size, 3); err != nil {
		t.Error(err)
	}
	unix.Shutdown(crowd[66], unix.SHUT_RDWR) // as if the server had dropped it
	if err := pingAll(crowd, spec.Size, 3); err == nil {
		t.Error("a connection that is gone passes for one that is served")
	}
	for _, fd := range crowd {
		unix.Close(fd)
	}
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	d, err := newDialer(ln.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.dialAll(1); err == nil {
		t.Error("connected")
	}
}
