//go:build linux

// Package run carries a plan out: for each step it starts a server and a client, has them measure, and ends both.
package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eyewall/eyewall/bench/internal/machine"
	"github.com/eyewall/eyewall/bench/internal/plan"
	"github.com/eyewall/eyewall/bench/internal/proc"
	"github.com/eyewall/eyewall/bench/internal/rows"
)

// Server is what can be measured.
type Server struct {
	rows.Server
	Argv []string // starts it; address, loops and size are added
}

// Runner carries out a plan.
type Runner struct {
	Options    *plan.Options
	Servers    []Server
	Client     []string // starts the client
	ServerCPUs []int
	ClientCPUs []int
	Shared     bool // they have CPUs in common
	Reset      bool // the connections of Accept are closed by resets

	Row  func(rows.Row)                                       // is called with each row
	Step func(done, all int, what string, left time.Duration) // is called before each step, and once all are done

	On    map[string]string // what each of eyewall's servers turned out to run on
	Notes []string          // what could not be measured, and why

	ports   ports
	again   int  // measurements that may be made again
	count   bool // system calls are counted by the kernel
	rows    []rows.Row
	skipped map[skip]bool
	gone    map[int]bool // servers that cannot be started at all
}

// skip is a cell that failed on a server: it is not tried again.
type skip struct {
	server int
	cell   rows.Cell
}

// Run carries out all steps, or those that come before ctx ends. It returns how many were planned.
func (r *Runner) Run(ctx context.Context) int {
	r.On, r.skipped, r.gone = map[string]string{}, map[skip]bool{}, map[int]bool{}
	err := proc.CanCountSyscalls()
	r.count = err == nil
	if !r.count && slices.ContainsFunc(r.Servers, func(s Server) bool { return s.Peer() }) {
		r.note("System calls of peers are reads and writes only (shown as “≥”): the kernel's counter of all of them is not within reach (%v). "+
			"As root, with tracefs mounted (mount -t tracefs nodev /sys/kernel/tracing), it is.", err)
	}
	steps := r.Options.Steps(len(r.Servers))
	r.again = len(steps) / 20
	pace := newPace(r.Options, steps)
	for i, s := range steps {
		if ctx.Err() != nil {
			return len(steps)
		}
		server := &r.Servers[s.Server]
		if s.Auto > 0 {
			s.Cell.Rate = r.rate(s.Auto)
		}
		r.Step(i, len(steps), server.Name+": "+s.Cell.String(), pace.left(i))
		k := skip{s.Server, s.Cell}
		if r.gone[s.Server] || r.skipped[k] || s.Auto > 0 && s.Cell.Rate == 0 {
			continue
		}
		row, err := r.measured(ctx, server, s.Cell)
		if ctx.Err() != nil { // and what came of this step is worth nothing
			return len(steps)
		}
		pace.took(i)
		row.Cell, row.Server, row.Round = s.Cell, server.Name, s.Round
		if err != nil {
			r.failed(s, server, err)
			row.Failed = err.Error()
		}
		r.rows = append(r.rows, row)
		r.Row(row)
	}
	r.Step(len(steps), len(steps), "", 0)
	return len(steps)
}

// CPUs is those that are used.
func (r *Runner) CPUs() (cpus []int) {
	cpus = slices.Concat(r.ServerCPUs, r.ClientCPUs)
	slices.Sort(cpus)
	return slices.Compact(cpus)
}

// measured is once with a look at what other programs did meanwhile.
func (r *Runner) measured(ctx context.Context, what *Server, cell rows.Cell) (rows.Row, error) {
	return r.undisturbed(func() (rows.Row, error) {
		before := machine.Look(r.CPUs()...)
		row, err := r.once(ctx, what, cell)
		row.Others, _ = machine.Look(r.CPUs()...).Since(before)
		return row, err
	})
}

// undisturbed makes a measurement, and makes it again if others disturbed it, as long as there have not been too many of
// that kind. The one that was less disturbed counts, whatever its figures are.
func (r *Runner) undisturbed(measure func() (rows.Row, error)) (rows.Row, error) {
	row, err := measure()
	if err != nil || row.Others <= rows.Disturbed || r.again == 0 {
		return row, err
	}
	r.again--
	if second, err := measure(); err == nil && second.Others < row.Others {
		return second, nil
	}
	return row, nil
}

// failed notes a failure and sees to it that it is not tried again.
func (r *Runner) failed(s plan.Step, server *Server, err error) {
	if _, ran := r.On[server.Name]; !ran {
		r.gone[s.Server] = true
		r.note("%s could not be started: %v", server.Name, err)
		return
	}
	r.skipped[skip{s.Server, s.Cell}] = true
	r.note("%s, %v: %v", server.Name, s.Cell, err)
}

func (r *Runner) note(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	if !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// rate is the n-th rate that suits what has been measured so far. It is chosen in the first round, and kept.
func (r *Runner) rate(n int) float64 {
	if len(r.Options.Rates) == 0 {
		fastest := plan.Fastest(r.rows, r.Options.Base())
		r.Options.Rates = plan.Rates(fastest, plan.AutoRates)
		if fastest == 0 {
			r.note("Latency was not measured: its rates follow from the throughput, which was not measured either; -rates sets them.")
			r.Options.Rates = []float64{0}
		}
	}
	if n > len(r.Options.Rates) {
		return 0
	}
	return r.Options.Rates[n-1]
}

// pace estimates what is left from what was.
type pace struct {
	costs   []time.Duration // of each step, estimated
	passed  time.Duration   // estimated cost of the steps that ran
	spent   time.Duration   // real
	started time.Time
	total   time.Duration
}

func newPace(o *plan.Options, steps []plan.Step) *pace {
	p := &pace{}
	for _, s := range steps {
		c := o.Cost(s.Cell)
		p.costs = append(p.costs, c)
		p.total += c
	}
	return p
}

// left is called before step i.
func (p *pace) left(i int) time.Duration {
	p.started = time.Now()
	var rest time.Duration
	for _, c := range p.costs[i:] {
		rest += c
	}
	if p.passed < 2*time.Second {
		return rest
	}
	return time.Duration(float64(rest) * float64(p.spent) / float64(p.passed))
}

// took is called after it.
func (p *pace) took(i int) {
	p.spent += time.Since(p.started)
	p.passed += p.costs[i]
}
