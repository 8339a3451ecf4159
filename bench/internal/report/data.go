// Package report makes tables and a page of what was measured.
package report

import (
	"cmp"
	"math"
	"slices"

	"github.com/eyewall/eyewall/bench/internal/rows"
	"github.com/eyewall/eyewall/bench/internal/stat"
)

// data is a run, arranged for questions.
type data struct {
	run     *rows.Run
	servers []rows.Server // in the order in which they are shown
	byCell  map[rows.Cell]map[string][]rows.Row
	failed  map[rows.Cell]map[string]string
	cells   []rows.Cell // that have rows, in the order in which they were measured
}

func newData(run *rows.Run) *data {
	d := &data{run: run, byCell: map[rows.Cell]map[string][]rows.Row{}, failed: map[rows.Cell]map[string]string{}}
	for _, r := range run.Rows {
		if d.byCell[r.Cell] == nil {
			d.byCell[r.Cell], d.failed[r.Cell] = map[string][]rows.Row{}, map[string]string{}
			d.cells = append(d.cells, r.Cell)
		}
		if r.Failed != "" {
			d.failed[r.Cell][r.Server] = r.Failed
			continue
		}
		d.byCell[r.Cell][r.Server] = append(d.byCell[r.Cell][r.Server], r)
	}
	d.servers = d.order()
	return d
}

// order puts eyewall's servers first, the most capable backend before the others, and leaves out what gave no figure: a
// note says why.
func (d *data) order() (list []rows.Server) {
	ran := map[string]bool{}
	for _, r := range d.run.Rows {
		if r.Failed == "" {
			ran[r.Server] = true
		}
	}
	var peers []rows.Server
	var backends [][]rows.Server
	for _, s := range d.run.Head.Servers {
		switch {
		case !ran[s.Name]:
		case s.Peer():
			peers = append(peers, s)
		default:
			i := slices.IndexFunc(backends, func(b []rows.Server) bool { return b[0].Backend == s.Backend })
			if i < 0 {
				backends = append(backends, nil)
				i = len(backends) - 1
			}
			backends[i] = append(backends[i], s)
		}
	}
	slices.Reverse(backends)
	return append(slices.Concat(backends...), peers...)
}

// of is the cells of one kind.
func (d *data) of(kind rows.Kind) (cells []rows.Cell) {
	for _, c := range d.cells {
		if c.Kind == kind {
			cells = append(cells, c)
		}
	}
	return cells
}

// metric is a figure of a row. Less is better, but of throughput.
type metric struct {
	name string
	of   func(rows.Row) float64
	more bool // is better
}

var (
	cpu        = metric{"CPU per message", func(r rows.Row) float64 { return r.CPU }, false}
	cpuConn    = metric{"CPU per connection", func(r rows.Row) float64 { return r.CPU }, false}
	throughput = metric{"throughput", func(r rows.Row) float64 { return r.PerSecond }, true}
	p50        = metric{"p50", func(r rows.Row) float64 { return r.P50 }, false}
	p99        = metric{"p99", func(r rows.Row) float64 { return r.P99 }, false}
	p999       = metric{"p99.9", func(r rows.Row) float64 { return r.P999 }, false}
	rss        = metric{"memory per idle connection", func(r rows.Row) float64 { return r.RSS }, false}
	pinged     = metric{"memory per connection after a message", func(r rows.Row) float64 { return r.Pinged }, false}
	clientCPU  = metric{"client CPU", func(r rows.Row) float64 { return r.ClientCPU }, false}
	late       = metric{"lateness of the client", func(r rows.Row) float64 { return r.Late }, false}
	allocs     = metric{"allocations per message", func(r rows.Row) float64 { return optional(r.Allocs) }, false}
	syscalls   = metric{"system calls per message", func(r rows.Row) float64 { return optional(r.Syscalls) }, false}
	switches   = metric{"task switches per message", func(r rows.Row) float64 { return optional(r.Switches) }, false}
)

func optional(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// main is the figure that counts for a kind.
func mainMetric(kind rows.Kind) metric {
	switch kind {
	case rows.Latency:
		return p99
	case rows.Accept:
		return cpuConn
	case rows.Memory:
		return rss
	}
	return cpu
}

// values is what the rounds gave.
func (d *data) values(c rows.Cell, server string, m metric) (v []float64) {
	for _, r := range d.byCell[c][server] {
		if x := m.of(r); !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	return v
}

// median is their median; NaN where there is none.
func (d *data) median(c rows.Cell, server string, m metric) float64 {
	return stat.Median(d.values(c, server, m))
}

// rival is what ratios are to: net, where it was measured, or else the best of the cell.
func (d *data) rival(c rows.Cell, m metric) float64 {
	if v := d.median(c, "net", m); !math.IsNaN(v) {
		return v
	}
	best := math.NaN()
	for _, s := range d.servers {
		if v := d.median(c, s.Name, m); math.IsNaN(best) || m.more && v > best || !m.more && v < best {
			best = v
		}
	}
	return best
}

// rivalName is what rival's ratios are to.
func (d *data) rivalName() string {
	for _, s := range d.servers {
		if s.Name == "net" {
			return "net"
		}
	}
	return "best"
}

func (d *data) ratio(c rows.Cell, server string, m metric) float64 {
	return d.median(c, server, m) / d.rival(c, m)
}

// limited tells whether the client was the limit in most rounds.
func (d *data) limited(c rows.Cell, server string) bool {
	n := 0
	list := d.byCell[c][server]
	for _, r := range list {
		if r.Limited {
			n++
		}
	}
	return 2*n > len(list)
}

// axis is a row of cells in which one thing changes.
type axis struct {
	name  string // what changes
	title string
	label func(rows.Cell) string // for a column
	tick  func(rows.Cell) string // for a plot
	x     func(rows.Cell) float64
	cells []rows.Cell

	linear bool    // what is plotted grows with it, from 0 on
	width  float64 // of the plot; 0 for half a page
}

// axes finds the rows of cells among those of load.
func (d *data) axes() (list []axis) {
	cells := d.of(rows.Load)
	if len(cells) == 0 {
		return nil
	}
	size := cells[0].Size
	pick := func(a axis, in func(rows.Cell) bool) {
		for _, c := range cells {
			if in(c) {
				a.cells = append(a.cells, c)
			}
		}
		slices.SortFunc(a.cells, func(b, c rows.Cell) int { return int(a.x(b) - a.x(c)) })
		if len(a.cells) > 0 {
			list = append(list, a)
		}
	}
	pick(axis{name: "connections", title: rows.Bytes(size) + ", pipeline 1",
		label: func(c rows.Cell) string { return rows.Count(float64(c.Conns)) },
		tick:  func(c rows.Cell) string { return rows.Count(float64(c.Conns)) },
		x:     func(c rows.Cell) float64 { return float64(c.Conns) }},
		func(c rows.Cell) bool { return c.Size == size && c.Depth == 1 && !d.onlySize(c) })
	for _, c := range cells {
		if c.Size != size {
			pick(axis{name: "message size", title: rows.Plural(c.Conns, "connection") + ", pipeline 1",
				label: func(c rows.Cell) string { return rows.Bytes(c.Size) },
				tick:  func(c rows.Cell) string { return rows.Bytes(c.Size) },
				x:     func(c rows.Cell) float64 { return float64(c.Size) }},
				func(o rows.Cell) bool { return o.Conns == c.Conns && o.Depth == 1 })
			break
		}
	}
	for _, c := range cells {
		if c.Depth != 1 {
			pick(axis{name: "pipeline", title: rows.Bytes(size) + ", " + rows.Plural(c.Conns, "connection"),
				label: func(c rows.Cell) string { return "depth " + rows.Count(float64(c.Depth)) },
				tick:  func(c rows.Cell) string { return rows.Count(float64(c.Depth)) },
				x:     func(c rows.Cell) float64 { return float64(c.Depth) }},
				func(o rows.Cell) bool { return o.Conns == c.Conns && o.Size == size })
			break
		}
	}
	return list
}

// crowd is the row of cells in which the idle connections beside the busy ones change. It has no cells where that was not
// measured.
func (d *data) crowd() axis {
	a := axis{name: "idle connections", cells: d.of(rows.Crowd), linear: true, width: 1072,
		label: func(c rows.Cell) string { return rows.Count(float64(c.Idle)) },
		tick:  func(c rows.Cell) string { return rows.Count(float64(c.Idle)) },
		x:     func(c rows.Cell) float64 { return float64(c.Idle) }}
	if len(a.cells) > 0 {
		c := a.cells[0]
		a.title = rows.Plural(c.Conns, "busy connection") + ", " + rows.Bytes(c.Size) + ", pipeline 1"
		slices.SortFunc(a.cells, func(b, c rows.Cell) int { return b.Idle - c.Idle })
	}
	return a
}

// slope is by how much a metric grows along an axis for each step of x, by least squares over the medians; NaN where
// there are not two of them.
func (d *data) slope(a axis, server string, m metric) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, c := range a.cells {
		if x, y := a.x(c), d.median(c, server, m); !math.IsNaN(y) {
			n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
		}
	}
	if n < 2 {
		return math.NaN()
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// onlySize tells whether a cell was measured for the row over the size alone.
func (d *data) onlySize(c rows.Cell) bool {
	for _, o := range d.of(rows.Load) {
		if o.Size != c.Size && o.Conns == c.Conns && o.Depth == 1 {
			return true
		}
	}
	return false
}

// base is the cell that stands for all in a summary: the one with some connections and one small message on each.
func (d *data) base() (rows.Cell, bool) {
	axes := d.axes()
	if len(axes) == 0 {
		return rows.Cell{}, false
	}
	off := func(c rows.Cell) float64 { return math.Abs(math.Log(float64(c.Conns) / 100)) }
	return slices.MinFunc(axes[0].cells, func(a, b rows.Cell) int { return cmp.Compare(off(a), off(b)) }), true
}
