//go:build linux

// Package load is the benchmark's client: a small loop on epoll, made for this and used for nothing else, so that the
// ruler does not depend on what it measures. It checks every byte that comes back.
package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/bench/internal/control"
)

// Env is what a client process needs in its environment: it allocates little, so it collects nothing, and its threads
// are in system calls most of the time, where a signal to preempt them would be lost on them.
var Env = []string{"GOGC=off", "GODEBUG=asyncpreemptoff=1"}

// maxWarmup bounds how long the first answers are waited for. Connections without one show up as silent.
const maxWarmup = 5 * time.Second

// Main is the main function of a client process.
func Main() {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		os.Exit(0)
	}
	var spec control.Spec
	if err := json.Unmarshal(line, &spec); err != nil {
		control.Fail(err)
	}
	commands := make(chan string, 4)
	go hear(in, commands)
	runtime.GOMAXPROCS(spec.Threads + 2)
	if spec.Mode == control.Idle {
		err = idle(&spec, commands)
	} else {
		err = loaded(&spec, commands)
	}
	if err != nil {
		control.Fail(err)
	}
}

// counting is the workers, once they are at work.
var counting atomic.Pointer[[]*worker]

// hear passes commands on, but answers Count itself.
func hear(in *bufio.Reader, commands chan<- string) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			os.Exit(0)
		}
		if line = line[:len(line)-1]; line != control.Count {
			commands <- line
			continue
		}
		e := control.Event{Name: control.Counted}
		if list := counting.Load(); list != nil {
			for _, w := range *list {
				e.Messages += w.told.Load()
			}
		}
		control.Say(e)
	}
}

// expect waits for a command.
func expect(commands <-chan string, want string) error {
	if got := <-commands; got != want {
		return fmt.Errorf("command %q where %q was expected", got, want)
	}
	return nil
}

// loaded is the modes that have workers.
func loaded(spec *control.Spec, commands <-chan string) error {
	win := &window{duration: spec.Duration, pid: spec.PID}
	win.from.Store(math.MaxInt64)
	win.to.Store(math.MaxInt64)
	workers, crowd, err := setUp(spec, win)
	if err != nil {
		return err
	}
	control.Say(control.Event{Name: control.Connected, Conns: spec.Conns})
	counting.Store(&workers)
	for _, w := range workers {
		go w.run()
	}
	time.Sleep(spec.Warmup)
	if spec.Mode == control.Closed { // a connection's first message takes more than others, so each sees one
		for limit := time.Now().Add(maxWarmup); win.warm.Load() < int64(spec.Conns) && time.Now().Before(limit); {
			time.Sleep(time.Millisecond)
		}
	}
	control.Say(control.Event{Name: control.Warm})
	if err := expect(commands, control.Go); err != nil {
		return err
	}
	win.asked.Store(true)
	for _, w := range workers {
		<-w.done
	}
	result, err := sum(spec, win, workers)
	if err != nil {
		return err
	}
	control.Say(control.Event{Name: control.Done, Result: result})
	err = expect(commands, control.Stop)
	win.stop.Store(true)
	if err != nil || crowd == nil {
		return err
	}
	if err := pingAll(crowd, spec.Size, uint64(spec.Conns)); err != nil {
		return fmt.Errorf("a connection that had been idle: %w", err)
	}
	control.Say(control.Event{Name: control.Checked})
	return nil
}

// setUp opens the connections and divides them among workers. Those that are to be idle, the crowd, come first, so that
// the server's highest descriptors are busy ones.
func setUp(spec *control.Spec, win *window) (workers []*worker, crowd []int, err error) {
	var fds []int
	if spec.Mode == control.Churn {
		d, err := newDialer(spec.Addr, 1)
		if err != nil {
			return nil, nil, err
		}
		fd, err := d.dial() // when that is answered, the server is there
		if err == nil {
			err = probe(fd)
			unix.Close(fd)
		}
		if err != nil {
			return nil, nil, err
		}
	} else {
		d, err := newDialer(spec.Addr, spec.Idle+spec.Conns)
		if err != nil {
			return nil, nil, err
		}
		if crowd, err = d.dialAll(spec.Idle); err != nil {
			return nil, nil, err
		}
		if fds, err = d.dialAll(spec.Conns); err != nil {
			return nil, nil, err
		}
		for _, fd := range crowd {
			abort(fd)
		}
	}
	n := max(1, min(spec.Threads, spec.Conns))
	workers = make([]*worker, n)
	for i := range workers {
		w, err := newWorker(spec, win, i == 0)
		if err != nil {
			return nil, nil, err
		}
		if fds != nil {
			from, to := i*len(fds)/n, (i+1)*len(fds)/n
			if err := w.adopt(fds[from:to], from); err != nil {
				return nil, nil, err
			}
		}
		workers[i] = w
	}
	return workers, crowd, nil
}

// sum makes one result of what the workers have.
func sum(spec *control.Spec, win *window, workers []*worker) (*control.Result, error) {
	if win.err != nil {
		return nil, win.err
	}
	r := &control.Result{Conns: spec.Conns, Seconds: float64(win.to.Load()-win.from.Load()) / 1e9,
		ServerCPU: float64(win.server1-win.server0) / 1e9}
	all, late := newHistogram(), newHistogram()
	for _, w := range workers {
		c := &w.final
		r.Messages += c.answered
		r.Mismatches += c.mismatches
		r.Errors += c.errors
		r.Unanswered += c.unanswered
		r.ClientCPU = max(r.ClientCPU, float64(c.cpu1-c.cpu0)/1e9)
		all.Merge(w.hist)
		late.Merge(w.late)
		if spec.Mode != control.Churn {
			r.Silent += c.silent
		}
		if c.firstErr != nil && r.FirstError == "" {
			r.FirstError = c.firstErr.Error()
		}
	}
	if r.Messages == 0 {
		return nil, errors.New("no answers" + because(r.FirstError))
	}
	us := func(h *hdrhistogram.Histogram, q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e3 }
	r.P50, r.P90, r.P99, r.P999, r.Max = us(all, 50), us(all, 90), us(all, 99), us(all, 99.9), float64(all.Max())/1e3
	r.Late = us(late, 99)
	encoded, err := all.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	r.Histogram = string(encoded)
	return r, err
}

func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
