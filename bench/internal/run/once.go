//go:build linux

package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/eyewall/eyewall/bench/internal/control"
	"github.com/eyewall/eyewall/bench/internal/load"
	"github.com/eyewall/eyewall/bench/internal/plan"
	"github.com/eyewall/eyewall/bench/internal/proc"
	"github.com/eyewall/eyewall/bench/internal/rows"
)

// patience is what is granted beyond what should be enough: a machine may be busy.
const patience = 10 * time.Second

// limited is the part of its CPU from which on a client counts as the limit, where the server is not.
const limited = 0.97

// pair is a server with its client.
type pair struct {
	server, client *proc.Proc
	what           *Server
	cell           rows.Cell
}

// setupError is a measurement that did not begin.
type setupError struct{ error }

// once measures one cell on one server, and tries again where it could not begin: what others do on the machine may
// have kept it from that.
func (r *Runner) once(ctx context.Context, what *Server, cell rows.Cell) (rows.Row, error) {
	row, err := r.try(ctx, what, cell)
	if errors.As(err, new(setupError)) && ctx.Err() == nil {
		row, err = r.try(ctx, what, cell)
	}
	return row, err
}

func (r *Runner) try(ctx context.Context, what *Server, cell rows.Cell) (row rows.Row, err error) {
	addr, err := r.ports.addr()
	if err != nil {
		return row, err
	}
	argv := slices.Concat(what.Argv, []string{"-addr", addr, "-loops", strconv.Itoa(r.Options.Loops), "-size", strconv.Itoa(cell.Size)})
	p := pair{what: what, cell: cell}
	if p.server, err = proc.Start(argv, r.ServerCPUs); err != nil {
		return row, err
	}
	defer p.server.End()
	ready, err := p.server.Wait(ctx, control.Ready, patience)
	if err != nil {
		return row, setupError{err}
	}
	r.On[what.Name] = ready.Text
	if p.client, err = proc.Start(r.Client, r.ClientCPUs, load.Env...); err != nil {
		return row, err
	}
	defer p.client.End() // before the server, whose end would be an error to it
	spec, err := json.Marshal(r.spec(cell, addr, p.server.PID()))
	if err != nil {
		return row, err
	}
	if err := p.client.Say(string(spec)); err != nil {
		return row, err
	}
	if cell.Kind == rows.Memory {
		return p.memory(ctx)
	}
	return r.load(ctx, &p)
}

func (r *Runner) spec(cell rows.Cell, addr string, pid int) control.Spec {
	s := control.Spec{Addr: addr, PID: pid, Conns: cell.Conns, Idle: cell.Idle, Size: cell.Size, Depth: cell.Depth, Rate: cell.Rate,
		Warmup: r.Options.Warmup, Duration: r.Options.Window(cell.Kind), Threads: max(1, len(r.ClientCPUs)), Spin: !r.Shared, Reset: r.Reset}
	switch cell.Kind {
	case rows.Latency:
		s.Mode = control.Open
	case rows.Accept:
		s.Mode = control.Churn
	case rows.Memory:
		s.Mode = control.Idle
	default:
		s.Mode = control.Closed
	}
	return s
}

// connecting is how long so many connections may take to be opened.
func connecting(n int) time.Duration { return patience + time.Duration(n)*2*time.Millisecond }

// load measures under load.
func (r *Runner) load(ctx context.Context, p *pair) (row rows.Row, err error) {
	if _, err := p.client.Wait(ctx, control.Connected, connecting(p.cell.Conns+p.cell.Idle)); err != nil {
		return row, setupError{err}
	}
	if _, err := p.client.Wait(ctx, control.Warm, r.Options.Warmup+connecting(p.cell.Conns)); err != nil {
		return row, err
	}
	before, messages0, err := p.count(ctx)
	if err != nil {
		return row, err
	}
	if err := p.client.Say(control.Go); err != nil {
		return row, err
	}
	done, err := p.client.Wait(ctx, control.Done, r.Options.Window(p.cell.Kind)+patience)
	if err != nil {
		return row, err
	}
	after, messages1, err := p.count(ctx)
	if err != nil {
		return row, err
	}
	m := done.Result
	row = rows.Row{Seconds: m.Seconds, Messages: m.Messages, PerSecond: float64(m.Messages) / m.Seconds,
		CPU: m.ServerCPU * 1e6 / float64(m.Messages), Busy: m.ServerCPU / m.Seconds, ClientCPU: m.ClientCPU / m.Seconds,
		P50: m.P50, P90: m.P90, P99: m.P99, P999: m.P999, Max: m.Max, Histogram: m.Histogram,
		Unanswered: m.Unanswered, GCs: after.GCs - before.GCs}
	loops := float64(min(r.Options.Loops, max(1, len(r.ServerCPUs))))
	switch p.cell.Kind {
	case rows.Load, rows.Crowd, rows.Accept:
		row.Limited = row.ClientCPU >= limited && row.Busy < limited*loops
	case rows.Latency:
		row.Late = m.Late
	}
	per := func(n uint64) *float64 {
		v := float64(n) / float64(max(1, messages1-messages0))
		return &v
	}
	row.Allocs = per(after.Mallocs - before.Mallocs)
	if after.Counted {
		row.Syscalls, row.SyscallsFrom = per(after.Syscalls-before.Syscalls), rows.FromBackend
		row.Switches = per(after.Switches - before.Switches)
	}
	if r.count || !after.Counted {
		if err := p.countSyscalls(ctx, &row); err != nil {
			return row, err
		}
	}
	p.client.Say(control.Stop)
	if err := trouble(m, p.cell); err != nil || p.cell.Idle == 0 {
		return row, err
	}
	_, err = p.client.Wait(ctx, control.Checked, connecting(p.cell.Idle))
	return row, err
}

// countSyscalls counts those of the process for a while after the window, since counting has its price.
func (p *pair) countSyscalls(ctx context.Context, row *rows.Row) error {
	const while = 50 * time.Millisecond
	pid := p.server.PID()
	read, from := proc.ReadsAndWrites, rows.FromIO
	if c, err := proc.CountSyscalls(pid); err == nil {
		defer c.Close()
		read, from = func(int) (int64, error) { return int64(c.Read()), nil }, rows.FromKernel
	}
	n0, err := read(pid)
	if err != nil { // not everybody may read it
		return nil
	}
	messages0, err := p.messages(ctx)
	if err != nil {
		return err
	}
	select {
	case <-time.After(while):
	case <-ctx.Done():
		return ctx.Err()
	}
	n1, err := read(pid)
	if err != nil {
		return nil
	}
	messages1, err := p.messages(ctx)
	if err != nil {
		return err
	}
	v := float64(n1-n0) / float64(max(1, messages1-messages0))
	row.Syscalls, row.SyscallsFrom = &v, from
	return nil
}

// trouble is what makes a measurement worthless.
func trouble(m *control.Result, cell rows.Cell) error {
	switch {
	case m.Mismatches > 0:
		return fmt.Errorf("%s of what came back was not what had been sent", rows.Plural(int(m.Mismatches), "piece"))
	case m.Errors > 0:
		return fmt.Errorf("%s failed: %s", rows.Plural(int(m.Errors), "connection"), m.FirstError)
	case m.Silent > 0 && (cell.Kind == rows.Load || cell.Kind == rows.Crowd) && m.Messages > 20*uint64(m.Conns): // else there was not time for all
		return fmt.Errorf("%s of %s got no answer", rows.Count(float64(m.Silent)), rows.Plural(m.Conns, "connection"))
	}
	return nil
}

// memory measures what idle connections take.
func (p *pair) memory(ctx context.Context) (row rows.Row, err error) {
	if _, err := p.client.Wait(ctx, control.Warm, patience); err != nil {
		return row, err
	}
	if _, err := p.snapshot(ctx); err != nil { // the first one takes memory that later ones use again
		return row, err
	}
	rest(ctx)
	before, empty, err := p.look(ctx)
	if err != nil {
		return row, err
	}
	p.client.Say(control.Go)
	connected, err := p.client.Wait(ctx, control.Connected, connecting(p.cell.Conns))
	if err != nil {
		return row, setupError{err}
	}
	rest(ctx)
	full, rss, err := p.look(ctx)
	if err != nil {
		return row, err
	}
	p.client.Say(control.Go)
	done, err := p.client.Wait(ctx, control.Done, connecting(p.cell.Conns))
	if err != nil {
		return row, err
	}
	rest(ctx)
	_, pinged, err := p.look(ctx)
	if err != nil {
		return row, err
	}
	n := float64(connected.Conns)
	row = rows.Row{RSS: (rss - empty) / n, Pinged: (pinged - empty) / n, BaseRSS: empty, Seconds: done.Result.Seconds,
		Heap: (float64(full.Heap) - float64(before.Heap)) / n, Stacks: (float64(full.Stacks) - float64(before.Stacks)) / n}
	p.client.Say(control.Stop)
	return row, trouble(done.Result, p.cell)
}

// rest lets what was started come to an end.
func rest(ctx context.Context) {
	select {
	case <-time.After(plan.Settle):
	case <-ctx.Done():
	}
}

// look reads the server's memory. RSS comes first: a snapshot takes some itself.
func (p *pair) look(ctx context.Context) (s *control.Snapshot, rss float64, err error) {
	n, err := proc.RSS(p.server.PID())
	if err != nil {
		return nil, 0, err
	}
	s, err = p.snapshot(ctx)
	return s, float64(n), err
}

// count tells what the server has done, and for how many messages.
func (p *pair) count(ctx context.Context) (s *control.Snapshot, messages uint64, err error) {
	if s, err = p.snapshot(ctx); err != nil {
		return nil, 0, err
	}
	messages, err = p.messages(ctx)
	return s, messages, err
}

// messages is how many the client has got answers to.
func (p *pair) messages(ctx context.Context) (uint64, error) {
	if err := p.client.Say(control.Count); err != nil {
		return 0, fmt.Errorf("the client has ended: %w", err)
	}
	e, err := p.client.Wait(ctx, control.Counted, patience)
	return e.Messages, err
}

func (p *pair) snapshot(ctx context.Context) (*control.Snapshot, error) {
	if err := p.server.Say(control.Snap); err != nil {
		return nil, fmt.Errorf("the server has ended: %w", err)
	}
	e, err := p.server.Wait(ctx, control.Snapped, patience)
	return e.Snapshot, err
}
