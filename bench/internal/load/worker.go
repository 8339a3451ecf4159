//go:build linux

package load

import (
	"errors"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/bench/internal/control"
	"github.com/eyewall/eyewall/bench/internal/proc"
)

const (
	batch = 64                    // events taken at once: few, so that the server is kept fed
	tick  = 10 * time.Millisecond // at most this long passes until a command is seen
)

// window is what is measured, shared by the workers. The first of them keeps it, since only it knows the time exactly
// while the CPU is busy.
type window struct {
	asked    atomic.Bool  // Go was heard
	from     atomic.Int64 // nanotime; MaxInt64 until it began
	to       atomic.Int64 // likewise, until it ended
	stop     atomic.Bool  // Stop was heard
	warm     atomic.Int64 // Closed: connections that have had an answer
	duration time.Duration
	pid      int

	server0, server1 int64 // the server's CPU time at its ends
	err              error // why that could not be read
}

// worker is a thread with its share of the connections.
type worker struct {
	messages
	spec  *control.Spec
	win   *window
	keeps bool // it keeps the window
	ep    int
	conns []conn
	in    []byte
	list  []unix.EpollEvent
	late  *hdrhistogram.Histogram // Open
	hist  *hdrhistogram.Histogram
	counts

	began bool          // the window has, as far as it knows
	ended bool          // likewise
	total uint64        // answered since the start
	told  atomic.Uint64 // the same, as of the last turn, for others to read

	done  chan struct{} // closed when what follows, and the histograms, are for others to read
	final counts
	over  bool // done is closed
}

// counts is what a worker has to report.
type counts struct {
	answered   uint64 // in the window
	unanswered uint64
	mismatches uint64
	errors     uint64
	firstErr   error
	silent     int   // connections without an answer in the window
	cpu0, cpu1 int64 // the thread's CPU time at its ends
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(64, int64(time.Minute), 3) }

func newWorker(spec *control.Spec, win *window, keeps bool) (*worker, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &worker{messages: newMessages(spec.Size), spec: spec, win: win, keeps: keeps, ep: ep,
		in: make([]byte, max(64<<10, min(spec.Size*spec.Depth, 1<<20))), list: make([]unix.EpollEvent, batch),
		hist: newHistogram(), late: newHistogram(), done: make(chan struct{})}, nil
}

// adopt makes connections of descriptors.
func (w *worker) adopt(fds []int, firstID int) error {
	w.conns = make([]conn, len(fds))
	for i, fd := range fds {
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		abort(fd)
		w.conns[i] = conn{id: uint64(firstID + i), fd: int32(fd)}
		ev := unix.EpollEvent{Events: edges, Fd: int32(i)}
		if err := unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) stopped() bool { return w.win.stop.Load() }

// turn looks at the clock: it moves the window on, if that is the worker's to do, and reads the thread's CPU time at its
// ends. It returns how long may be waited until the next look.
func (w *worker) turn(now int64) time.Duration {
	w.told.Store(w.total)
	win := w.win
	from, to := win.from.Load(), win.to.Load()
	if w.keeps {
		switch {
		case from == math.MaxInt64 && win.asked.Load():
			win.server0, win.err = proc.CPUTime(win.pid)
			from = nanotime()
			win.from.Store(from)
		case from != math.MaxInt64 && to == math.MaxInt64 && now >= from+int64(win.duration):
			var err error
			win.server1, err = proc.CPUTime(win.pid)
			win.err = errors.Join(win.err, err)
			to = nanotime()
			win.to.Store(to)
		}
	}
	if !w.began && from != math.MaxInt64 {
		w.began, w.cpu0 = true, threadCPU()
	}
	if !w.ended && to != math.MaxInt64 {
		w.ended, w.cpu1 = true, threadCPU()
	}
	if w.keeps && w.began && !w.ended {
		return min(tick, time.Duration(from)+win.duration-time.Duration(now))
	}
	return tick
}

// within tells whether a moment is in the window.
func (win *window) within(t int64) bool { return t >= win.from.Load() && t < win.to.Load() }

// finish makes the counts final, the first time that it is called. The load goes on.
func (w *worker) finish() {
	if w.over {
		return
	}
	w.over = true
	for i := range w.conns {
		if !w.conns[i].seen {
			w.silent++
		}
	}
	w.final = w.counts
	close(w.done)
}

// each serves what epoll finds within wait.
func (w *worker) each(wait time.Duration, answered func(c *conn, now int64)) {
	n := epollWait(w.ep, w.list, wait)
	for i := range n {
		c := &w.conns[w.list[i].Fd]
		if w.list[i].Events&^unix.EPOLLOUT != 0 {
			w.drain(c, answered)
		}
		w.flush(c)
	}
}

// run runs the worker on a thread of its own.
func (w *worker) run() {
	runtime.LockOSThread()
	switch w.spec.Mode {
	case control.Open:
		w.open()
	case control.Churn:
		w.churn()
	default:
		w.closed()
	}
}
