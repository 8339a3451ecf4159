package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

// tile is a figure at the top of the page.
type tile struct {
	Figure, Unit string
	Label        string
	Text         string
}

// best is eyewall's best server in a cell, by its median.
func (d *data) best(c rows.Cell, m metric) (best rows.Server, value float64) {
	value = math.NaN()
	for _, s := range d.servers {
		v := d.median(c, s.Name, m)
		if !s.Peer() && !math.IsNaN(v) && (math.IsNaN(value) || v < value) {
			best, value = s, v
		}
	}
	return best, value
}

// bestPeer is the best of the others.
func (d *data) bestPeer(c rows.Cell, m metric) (best rows.Server, value float64) {
	value = math.NaN()
	for _, s := range d.servers {
		v := d.median(c, s.Name, m)
		if s.Peer() && !math.IsNaN(v) && (math.IsNaN(value) || v < value) {
			best, value = s, v
		}
	}
	return best, value
}

// beside says how the best stands to others: to net and the best other peer, or to eyewall's other backends.
func (d *data) beside(c rows.Cell, m metric) string {
	mine, v := d.best(c, m)
	var parts []string
	if net := d.median(c, "net", m); !math.IsNaN(net) {
		parts = append(parts, ratio(v/net)+" × net")
	}
	if p, w := d.bestPeer(c, m); !math.IsNaN(w) && p.Name != "net" {
		parts = append(parts, ratio(v/w)+" × "+p.Name)
	}
	if parts != nil {
		return mine.Name + ": " + strings.Join(parts, ", ")
	}
	seen := map[string]bool{mine.Backend: true}
	for _, s := range d.servers {
		if seen[s.Backend] {
			continue
		}
		seen[s.Backend] = true
		least := math.NaN()
		for _, o := range d.servers {
			if x := d.median(c, o.Name, m); o.Backend == s.Backend && !math.IsNaN(x) && !(x > least) {
				least = x
			}
		}
		if !math.IsNaN(least) {
			parts = append(parts, s.Backend+" "+ratio(least/v)+" ×")
		}
	}
	if parts == nil {
		return mine.Name
	}
	return mine.Name + "; " + strings.Join(parts, ", ") + " that"
}

// headline is the run in a sentence.
func (d *data) headline() string {
	c, ok := d.base()
	beside := ""
	if !ok {
		a := d.crowd()
		if len(a.cells) == 0 {
			return "What was measured on this machine"
		}
		c = a.cells[len(a.cells)-1]
		beside = " beside " + rows.Plural(c.Idle, "idle connection")
	}
	s, v := d.best(c, cpu)
	if math.IsNaN(v) {
		if s, v = d.bestPeer(c, cpu); math.IsNaN(v) {
			return "What was measured on this machine"
		}
		return fmt.Sprintf("A message%s costs %s %s\u00a0µs of CPU", beside, s.Name, number(v))
	}
	text := fmt.Sprintf("A message%s costs eyewall on %s %s\u00a0µs of CPU", beside, s.Backend, number(v))
	if net := d.median(c, "net", cpu); !math.IsNaN(net) {
		return text + ", " + ratio(v/net) + " of what it costs net"
	}
	for _, o := range d.servers { // eyewall's next backend
		if o.Backend != s.Backend && !o.Peer() {
			least := math.Inf(1)
			for _, x := range d.servers {
				if w := d.median(c, x.Name, cpu); x.Backend == o.Backend && w < least {
					least = w
				}
			}
			if !math.IsInf(least, 0) {
				return text + ", " + ratio(v/least) + " of what it costs on " + o.Backend
			}
		}
	}
	return text
}

// tiles are the figures at the top.
func (d *data) tiles() (list []tile) {
	add := func(c rows.Cell, m metric, figure func(float64) (string, string), label string) {
		if _, v := d.best(c, m); !math.IsNaN(v) {
			f, unit := figure(v)
			list = append(list, tile{f, unit, label, d.beside(c, m)})
		}
	}
	us := func(v float64) (string, string) { return number(v), "µs" }
	if c, ok := d.base(); ok {
		add(c, cpu, us, "CPU for a message: "+rows.Bytes(c.Size)+" there and back, "+rows.Plural(c.Conns, "connection"))
	}
	if a := d.crowd(); len(a.cells) > 0 {
		c := a.cells[len(a.cells)-1]
		add(c, cpu, us, "CPU for a message, beside "+rows.Plural(c.Idle, "idle connection"))
	}
	if cells := d.of(rows.Latency); len(cells) > 0 {
		c := cells[len(cells)/2]
		add(c, p99, us, "p99 latency at "+rows.Count(c.Rate)+" messages per second")
	}
	for _, c := range d.of(rows.Memory) {
		add(c, rss, func(v float64) (string, string) { return rows.Count(math.Round(v)), "B" },
			"memory for an idle connection, of "+rows.Count(float64(c.Conns)))
	}
	if c, ok := d.base(); ok {
		if s, v := d.best(c, syscalls); !math.IsNaN(v) {
			list = append(list, tile{number(v), "", "system calls for a message, the lowest", fmt.Sprintf("%s, with %s allocations",
				s.Name, number(d.median(c, s.Name, allocs)))})
		}
	}
	return list
}
