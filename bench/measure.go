//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/eyewall/eyewall/bench/internal/machine"
	"github.com/eyewall/eyewall/bench/internal/plan"
	"github.com/eyewall/eyewall/bench/internal/rows"
	benchrun "github.com/eyewall/eyewall/bench/internal/run"
)

// measure runs the benchmark and writes what it found, also what it had found when it was interrupted.
func measure(ctx context.Context, f *flags) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	progress := newBar(os.Stderr)
	r := &benchrun.Runner{Options: &f.Options, Client: []string{self, asClient}}
	r.ServerCPUs, r.ClientCPUs = f.chooseCPUs()
	r.Shared = slices.ContainsFunc(r.ServerCPUs, func(c int) bool { return slices.Contains(r.ClientCPUs, c) })
	r.Notes = append(r.Notes, f.limits(r)...)
	var built builder
	defer built.close()
	if err := f.servers(ctx, r, self, &built); err != nil {
		return err
	}
	if len(r.Servers) == 0 {
		return fmt.Errorf("there is nothing to measure: %s", strings.Join(r.Notes, "; "))
	}

	if note := f.conntrack(r); note != "" {
		r.Notes = append(r.Notes, note)
	}

	result := &rows.Run{Head: rows.Head{Format: rows.Format, Started: time.Now(), Command: command(f.args),
		Rounds: f.Rounds, Window: f.Duration.Seconds(), Loops: f.Loops, Polling: f.busyPoll.Seconds(), Shared: r.Shared,
		ServerCPUs: machine.FormatCPUs(r.ServerCPUs), ClientCPUs: machine.FormatCPUs(r.ClientCPUs), Facts: machine.Facts()}}
	for _, s := range r.Servers {
		result.Head.Servers = append(result.Head.Servers, s.Server)
	}
	out := rows.NewWriter(nil)
	if f.json != "" {
		file, err := os.Create(f.json)
		if err != nil {
			return err
		}
		defer file.Close()
		out = rows.NewWriter(file)
	}
	out.Write(result.Head)
	r.Step = progress.show
	r.Row = func(row rows.Row) {
		result.Rows = append(result.Rows, row)
		out.Write(row)
	}
	steps := f.Steps(len(r.Servers))
	fmt.Fprintf(os.Stderr, "bench: %s, %d measurements, about %s; Ctrl-C ends it early and keeps what there is\n",
		rows.Plural(len(r.Servers), "server"), len(steps), brief(f.Estimate(steps)))

	before := machine.Look(r.CPUs()...)
	planned := r.Run(ctx)
	progress.clear()
	others, stolen := machine.Look(r.CPUs()...).Since(before)
	if stolen > 0.02 {
		r.Notes = append(r.Notes, fmt.Sprintf("The host took %.0f %% of a CPU away (steal time): the figures are rougher than they could be.", 100*stolen))
	}
	result.Foot = rows.Foot{Ended: time.Now(), Planned: planned, Interrupted: ctx.Err() != nil, Others: others, On: r.On, Notes: r.Notes}
	result.Settle()
	if err := out.Write(result.Foot); err != nil {
		return fmt.Errorf("-json %s: %w", f.json, err)
	}
	return write(f, result)
}

// servers lists what is to be measured, and notes what cannot be had. Only an interrupt is an error.
func (f *flags) servers(ctx context.Context, r *benchrun.Runner, self string, built *builder) error {
	other := "" // the program with the other ring
	for _, b := range f.backends {
		program := self
		if !held(b) {
			if other == "" {
				var err error
				if other, err = built.otherRing(ctx, b); err != nil {
					r.Notes = append(r.Notes, err.Error())
					continue
				}
			}
			program = other
		}
		for _, form := range f.forms {
			for _, way := range f.accept {
				s := rows.Server{Name: b + " " + form, Backend: b, Form: form}
				if way == rows.One {
					s.Name, s.Accept = s.Name+" "+way, way
				}
				r.Servers = append(r.Servers, benchrun.Server{Server: s,
					Argv: []string{program, asServer, "-backend", b, "-form", form, "-accept", way, "-busy-poll", f.busyPoll.String()}})
			}
		}
	}
	for _, name := range f.peers {
		if ctx.Err() != nil {
			break
		}
		s, err := built.peer(ctx, name)
		if err != nil {
			r.Notes = append(r.Notes, err.Error())
			continue
		}
		r.Servers = append(r.Servers, s)
	}
	return ctx.Err()
}

// command is how this run can be had again.
func command(args []string) string {
	return strings.Join(append([]string{"go -C bench run" + buildFlags() + " ."}, args...), " ")
}

// chooseCPUs gives the server as many CPUs as it has loops, and the client others, on other cores where there are some. A
// client for which that leaves none shares the server's: loops that share a CPU would not be what was asked for.
func (f *flags) chooseCPUs() (server, client []int) {
	allowed := machine.Allowed()
	server, client = f.serverCPUs, f.clientCPUs
	without := func(list, taken []int) []int {
		return slices.DeleteFunc(slices.Clone(list), func(c int) bool { return slices.Contains(taken, c) })
	}
	if len(server) == 0 {
		rest := without(allowed, client)
		if len(rest) == 0 {
			rest = allowed
		}
		server = rest[:min(f.Loops, len(rest))]
	}
	if len(client) == 0 {
		var cores []int
		for _, c := range server {
			cores = append(cores, machine.Siblings(c)...)
		}
		rest := without(allowed, cores)
		if len(rest) == 0 {
			rest = without(allowed, server)
		}
		if len(rest) == 0 {
			rest = allowed
		}
		client = rest[:min(max(2, f.Loops), len(rest))]
	}
	return server, client
}

// conntrack sees to it that connections which are opened and closed do not fill the kernel's table of them.
func (f *flags) conntrack(r *benchrun.Runner) (note string) {
	room, on := machine.Conntrack()
	if !on {
		return ""
	}
	note = "The kernel tracks connections here (nf_conntrack), which is part of what each packet costs."
	const perSecond = 20000 // that a server accepts, or so
	expected := float64(f.Rounds*len(r.Servers)) * (f.Duration + f.Warmup).Seconds() * perSecond
	if slices.Contains(f.Kinds, rows.Accept) && expected > 0.8*float64(room) {
		r.Reset = true
		note += fmt.Sprintf(" It has room for %s more, so the connections of the accept rows were closed by resets: orderly ones would have filled it.",
			rows.Count(float64(room)))
	}
	return note
}

// limits fits the plan to what the machine allows, and says what that changed.
func (f *flags) limits(r *benchrun.Runner) (notes []string) {
	const others = 400
	have := machine.RaiseDescriptors(f.Most() + others)
	conns, crowds := f.Limit(have)
	note := func(c plan.Change, what string) {
		if c.From == nil {
			return
		}
		var list []string
		for _, n := range c.From {
			list = append(list, rows.Count(float64(n)))
		}
		notes = append(notes, fmt.Sprintf("%s %s became %s: a process may open %s descriptors here (ulimit -n).",
			strings.Join(list, " and "), what, rows.Count(float64(c.To)), rows.Count(float64(have))))
	}
	note(conns, "connections")
	note(crowds, "idle connections beside busy ones")
	switch {
	case len(machine.Allowed()) == 1:
		notes = append(notes, "There is one CPU: server and client shared it, so throughput and latency are those of both together. CPU per message is still the server's alone.")
	case r.Shared:
		notes = append(notes, "Server and client had CPUs in common, so throughput and latency are those of both together.")
	}
	if !r.Shared {
		for _, c := range r.ServerCPUs {
			if s := machine.Siblings(c); slices.ContainsFunc(r.ClientCPUs, func(c int) bool { return slices.Contains(s, c) }) {
				notes = append(notes, fmt.Sprintf("CPUs %s share a core, and server and client each used one: each slowed the other.", machine.FormatCPUs(s)))
				break
			}
		}
	}
	if f.Loops > len(r.ServerCPUs) {
		notes = append(notes, fmt.Sprintf("%d loops shared %s.", f.Loops, rows.Plural(len(r.ServerCPUs), "CPU")))
	}
	return notes
}
