package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/eyewall/eyewall/bench/internal/rows"
	"github.com/eyewall/eyewall/bench/internal/stat"
)

// table is a table, for the terminal and the page.
type table struct {
	title   string
	note    string
	columns []column // without the first, which names servers
	lines   []line
}

type column struct {
	group string // what several columns have in common
	name  string
}

type line struct {
	server string
	peer   bool
	cells  []cell
}

// cell is a figure as it is to be read.
type cell struct {
	text  string
	ratio float64 // where it is a ratio of which less is better, for the page to colour; else 0
}

// plain makes cells of text.
func plain(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, t := range texts {
		cells[i].text = t
	}
	return cells
}

// rated is plain with a ratio before the others.
func rated(v float64, texts ...string) []cell {
	return append([]cell{{ratio(v), v}}, plain(texts...)...)
}

// number writes v with three digits or so, "–" where there is none.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 1000:
		return rows.Count(v)
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	if v > -0.005 && v < 0 { // or it would be -0.00
		v = 0
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func ratio(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	switch {
	case v >= 99.5:
		return rows.Count(v)
	case v >= 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func percent(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return strconv.FormatFloat(100*v, 'f', 0, 64) + " %"
}

// each adds a line for each server, with the cells that fill gives it.
func (t *table) each(d *data, fill func(rows.Server) []cell) {
	for _, s := range d.servers {
		t.lines = append(t.lines, line{s.Name, s.Peer(), fill(s)})
	}
}

// tables lists all of a run's.
func (d *data) tables() (list []table) {
	for _, a := range d.axes() {
		list = append(list, d.cpuTable(a))
	}
	for _, a := range d.axes() {
		list = append(list, d.throughputTable(a))
	}
	if a := d.crowd(); len(a.cells) > 0 {
		list = append(list, d.crowdTable(a))
	}
	if base, ok := d.base(); ok {
		list = append(list, d.detailTable(base))
	}
	for _, c := range d.of(rows.Latency) {
		list = append(list, d.latencyTable(c))
	}
	for _, c := range d.of(rows.Accept) {
		list = append(list, d.acceptTable(c))
	}
	for _, c := range d.of(rows.Memory) {
		list = append(list, d.memoryTable(c))
	}
	return list
}

func (d *data) cpuTable(a axis) table {
	t := table{title: "Server CPU per message, by " + a.name,
		note: fmt.Sprintf("%s. Ratio to %s, and µs.", a.title, d.rivalText())}
	for _, c := range a.cells {
		t.columns = append(t.columns, column{a.label(c), "ratio"}, column{a.label(c), "µs"})
	}
	t.each(d, func(s rows.Server) (cells []cell) {
		for _, c := range a.cells {
			cells = append(cells, rated(d.ratio(c, s.Name, cpu), d.figure(c, s.Name, cpu))...)
		}
		return cells
	})
	return t
}

// crowdTable is cpuTable with what an idle connection adds.
func (d *data) crowdTable(a axis) table {
	t := d.cpuTable(a)
	t.note += " The last column is by how much a message gets dearer for each idle connection, as a straight line through the medians."
	t.columns = append(t.columns, column{"", "ns each"})
	for i, s := range d.servers {
		t.lines[i].cells = append(t.lines[i].cells, plain(number(1e3*d.slope(a, s.Name, cpu)))...)
	}
	return t
}

// figure is a median, or that there is none because the measurement failed.
func (d *data) figure(c rows.Cell, server string, m metric) string {
	v := d.median(c, server, m)
	if math.IsNaN(v) && d.failed[c][server] != "" {
		return "failed"
	}
	return number(v)
}

func (d *data) rivalText() string {
	if d.rivalName() == "net" {
		return "net"
	}
	return "the best of the column"
}

func (d *data) throughputTable(a axis) table {
	t := table{title: "Messages per second, by " + a.name,
		note: a.title + ". Thousands. * the client was the limit: the server could do more."}
	for _, c := range a.cells {
		t.columns = append(t.columns, column{"", a.label(c)})
	}
	t.each(d, func(s rows.Server) (cells []cell) {
		for _, c := range a.cells {
			text := d.figure(c, s.Name, metric{of: func(r rows.Row) float64 { return r.PerSecond / 1e3 }})
			if d.limited(c, s.Name) {
				text += "*"
			} else {
				text += " "
			}
			cells = append(cells, cell{text: text})
		}
		return cells
	})
	return t
}

func (d *data) detailTable(c rows.Cell) table {
	t := table{title: "What a message takes", note: sentence(c) + " ± is how far the rounds are apart. ≥ counts reads and writes only.",
		columns: []column{{"", "ratio"}, {"", "CPU µs"}, {"", "±"}, {"", "syscalls"}, {"", "allocs"}, {"", "switches"},
			{"", "p50 µs"}, {"", "p99 µs"}, {"", "server CPU"}, {"", "client CPU"}}}
	busy := metric{of: func(r rows.Row) float64 { return r.Busy }}
	t.each(d, func(s rows.Server) []cell {
		return rated(d.ratio(c, s.Name, cpu), d.figure(c, s.Name, cpu), percent(stat.Spread(d.values(c, s.Name, cpu))),
			d.syscalls(c, s.Name), number(d.median(c, s.Name, allocs)), number(d.median(c, s.Name, switches)),
			number(d.median(c, s.Name, p50)), number(d.median(c, s.Name, p99)),
			percent(d.median(c, s.Name, busy)), percent(d.median(c, s.Name, clientCPU)))
	})
	return t
}

// syscalls is the median with a sign where it is a lower bound.
func (d *data) syscalls(c rows.Cell, server string) string {
	text := number(d.median(c, server, syscalls))
	if list := d.byCell[c][server]; len(list) > 0 && list[0].SyscallsFrom == rows.FromIO {
		return "≥" + text
	}
	return text
}

func sentence(c rows.Cell) string { return capital(c.String()) + "." }

// capital makes the first letter one; metrics whose names are symbols keep theirs.
func capital(s string) string {
	if strings.HasPrefix(s, "p99") || strings.HasPrefix(s, "p50") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (d *data) latencyTable(c rows.Cell) table {
	const us = "latency, µs"
	t := table{title: "Latency at " + rows.Count(c.Rate) + " messages per second",
		note:    "From the moment a message was due. Ratio to " + d.rivalText() + ", of p99. Late is the client's own p99, which is part of the latency.",
		columns: []column{{"", "ratio"}, {us, "p50"}, {us, "p99"}, {us, "p99.9"}, {us, "late"}, {"", "CPU µs"}, {"", "kept up"}}}
	kept := metric{of: func(r rows.Row) float64 { return min(1, r.PerSecond/r.Rate) }}
	t.each(d, func(s rows.Server) []cell {
		return rated(d.ratio(c, s.Name, p99), d.figure(c, s.Name, p50), number(d.median(c, s.Name, p99)),
			number(d.median(c, s.Name, p999)), number(d.median(c, s.Name, late)), number(d.median(c, s.Name, cpu)),
			percent(d.median(c, s.Name, kept)))
	})
	return t
}

func (d *data) acceptTable(c rows.Cell) table {
	t := table{title: "Connections accepted", note: sentence(c) + " Ratio to " + d.rivalText() + ", of CPU.",
		columns: []column{{"", "ratio"}, {"", "CPU µs"}, {"", "per second"}, {"", "p50 µs"}, {"", "p99 µs"}, {"", "syscalls"}, {"", "allocs"}, {"", "client CPU"}}}
	t.each(d, func(s rows.Server) []cell {
		rate := d.figure(c, s.Name, throughput)
		if d.limited(c, s.Name) {
			rate += "*"
		}
		return rated(d.ratio(c, s.Name, cpuConn), d.figure(c, s.Name, cpuConn), rate, number(d.median(c, s.Name, p50)),
			number(d.median(c, s.Name, p99)), d.syscalls(c, s.Name), number(d.median(c, s.Name, allocs)), percent(d.median(c, s.Name, clientCPU)))
	})
	return t
}

func (d *data) memoryTable(c rows.Cell) table {
	t := table{title: "Memory per idle connection",
		note:    sentence(c) + " Bytes of the process, without the kernel's. Ratio to " + d.rivalText() + ".",
		columns: []column{{"", "ratio"}, {"", "RSS B"}, {"", "after a message"}, {"", "of it heap"}, {"", "of it stacks"}, {"", "process alone"}}}
	heap := metric{of: func(r rows.Row) float64 { return r.Heap }}
	stacks := metric{of: func(r rows.Row) float64 { return r.Stacks }}
	alone := metric{of: func(r rows.Row) float64 { return r.BaseRSS / (1 << 20) }}
	whole := func(v float64) string {
		if math.IsNaN(v) {
			return "–"
		}
		return rows.Count(math.Round(v))
	}
	t.each(d, func(s rows.Server) []cell {
		text := d.figure(c, s.Name, rss)
		if text != "failed" {
			text = whole(d.median(c, s.Name, rss))
		}
		mib := number(d.median(c, s.Name, alone))
		if mib != "–" {
			mib += " MiB"
		}
		return rated(d.ratio(c, s.Name, rss), text, whole(d.median(c, s.Name, pinged)), whole(d.median(c, s.Name, heap)),
			whole(d.median(c, s.Name, stacks)), mib)
	})
	return t
}
