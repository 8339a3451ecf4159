package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/eyewall/eyewall/bench/internal/chart"
	"github.com/eyewall/eyewall/bench/internal/rows"
	"github.com/eyewall/eyewall/bench/internal/stat"
)

// look tells servers apart twice, by colour and by shape: backends have a colour and a shape each, the form is solid or
// dashed, one acceptor for all is dotted, and peers, which are there to be compared with, are grey.
func look(s rows.Server) chart.Look {
	if s.Peer() {
		shapes := map[string]chart.Shape{"gnet": chart.Square, "nbio": chart.Triangle, "netpoll": chart.Diamond, "evio": chart.Cross}
		l := chart.Look{Color: "var(--peer)", Shape: shapes[s.Name], Faint: true}
		if s.Name == "net" {
			l.Color = "var(--net)"
		}
		return l
	}
	l := chart.Look{Color: "var(--other)", Shape: chart.Diamond}
	for name, as := range map[string]chart.Look{
		"io_uring":          {Color: "var(--uring)"},
		"io_uring/giouring": {Color: "var(--giouring)", Shape: chart.Diamond},
		"epoll":             {Color: "var(--epoll)", Shape: chart.Square},
		"select":            {Color: "var(--select)", Shape: chart.Triangle},
	} {
		if s.Backend == name {
			l = as
		}
	}
	if s.Form == "handler" {
		l.Dashed, l.Hollow = true, true
	}
	if s.Accept == rows.One {
		l.Dotted, l.Shape = true, chart.Cross
	}
	return l
}

// plot draws a metric along an axis.
func (d *data) plot(a axis, m metric, y string, text func(float64) string) string {
	l := chart.Lines{Title: m.name + " by " + a.name, X: a.name, Y: y, LogX: !a.linear, FromY: a.linear, Text: text, Width: a.width}
	for _, c := range a.cells {
		l.Ticks = append(l.Ticks, chart.Tick{At: a.x(c), Text: a.tick(c)})
	}
	for _, s := range d.servers {
		line := chart.Series{Name: s.Name, Look: look(s)}
		for _, c := range a.cells {
			v := d.values(c, s.Name, m)
			if len(v) == 0 {
				continue
			}
			median := stat.Median(v)
			line.Points = append(line.Points, chart.Point{X: a.x(c), Y: median, Low: slices.Min(v), High: slices.Max(v),
				Tip: fmt.Sprintf("%s, %s: %s, rounds %s to %s", s.Name, c, text(median), text(slices.Min(v)), text(slices.Max(v)))})
		}
		l.Series = append(l.Series, line)
	}
	return l.SVG()
}

// ratioPlot draws a metric's ratio along an axis, over the page's whole width: that is where servers are told apart.
func (d *data) ratioPlot(a axis, m metric) string {
	l := chart.Lines{Title: m.name + " by " + a.name + ", as a ratio", X: a.name, Y: m.name + ", ratio to " + d.rivalText(),
		LogX: true, Text: ratio, Width: 1072, Zoom: true, Reference: 1}
	for _, c := range a.cells {
		l.Ticks = append(l.Ticks, chart.Tick{At: a.x(c), Text: a.tick(c)})
	}
	for _, s := range d.servers {
		line := chart.Series{Name: s.Name, Look: look(s)}
		for _, c := range a.cells {
			v, rival := d.values(c, s.Name, m), d.rival(c, m)
			if len(v) == 0 || math.IsNaN(rival) {
				continue
			}
			x := stat.Median(v) / rival
			line.Points = append(line.Points, chart.Point{X: a.x(c), Y: x, Low: x, High: x,
				Tip: fmt.Sprintf("%s, %s: %s × %s", s.Name, c, ratio(x), d.rivalText())})
		}
		l.Series = append(l.Series, line)
	}
	return l.SVG()
}

// short writes an axis's values.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return trim(v/1e6) + " M"
	case v >= 1e3:
		return trim(v/1e3) + " k"
	}
	return trim(v)
}

func trim(v float64) string { return fmt.Sprintf("%.3g", v) }

// barPlot draws a metric of one cell, eyewall's servers apart from the others.
func (d *data) barPlot(c rows.Cell, m metric, width float64, head string, text func(float64) string, best bool) string {
	b := chart.Bars{Title: m.name, Head: head, Width: width}
	if m.name == allocs.name || m.name == syscalls.name {
		b.Least = 1
	}
	servers := slices.Clone(d.servers)
	if best {
		slices.SortStableFunc(servers, func(a, b rows.Server) int {
			x, y := d.median(c, a.Name, m), d.median(c, b.Name, m)
			switch {
			case math.IsNaN(y) && !math.IsNaN(x) || x < y:
				return -1
			case math.IsNaN(x) && !math.IsNaN(y) || x > y:
				return 1
			}
			return 0
		})
	}
	for i, s := range servers {
		v := d.values(c, s.Name, m)
		bar := chart.Bar{Name: s.Name, Look: look(s), Value: math.NaN(), Text: "not measured", Apart: !best && i > 0 && s.Peer() && !servers[i-1].Peer()}
		if len(v) > 0 {
			bar.Value, bar.Low, bar.High = stat.Median(v), slices.Min(v), slices.Max(v)
			bar.Text = text(bar.Value)
			if r := d.ratio(c, s.Name, m); !math.IsNaN(r) && !math.IsInf(r, 0) {
				bar.Side = ratio(r) + " × " + d.rivalName()
			}
			bar.Tip = fmt.Sprintf("%s: %s, rounds %s to %s", s.Name, bar.Text, text(bar.Low), text(bar.High))
		} else if d.failed[c][s.Name] != "" {
			bar.Text = "failed"
		}
		if m.name == rss.name {
			if bar.Beyond = d.median(c, s.Name, pinged); bar.Beyond > bar.Value {
				bar.Text += " → " + text(bar.Beyond)
			}
		}
		if m.name == syscalls.name {
			bar.Text, bar.Side = d.syscalls(c, s.Name), ""
		}
		if m.name == allocs.name {
			bar.Side = ""
		}
		b.Bars = append(b.Bars, bar)
	}
	return b.SVG()
}

// quantiles are those of the plots of latency, as far as there are answers enough beyond them.
var quantiles = []float64{50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 99.995, 99.998, 99.999}

// beyond is how many answers there must be beyond a quantile for it to mean something.
const beyond = 5

// latencyPlot draws the distribution of latency in one cell: at each quantile the median of the rounds.
func (d *data) latencyPlot(c rows.Cell) string {
	l := chart.Lines{Title: "latency by quantile at " + rows.Count(c.Rate) + " messages per second",
		X: "quantile", Y: "latency, µs", LogX: true, Text: short}
	far := 50.0
	for _, s := range d.servers {
		line := chart.Series{Name: s.Name, Look: look(s)}
		var hists []*hdrhistogram.Histogram
		least := int64(math.MaxInt64)
		for _, r := range d.byCell[c][s.Name] {
			if h, err := hdrhistogram.Decode([]byte(r.Histogram)); err == nil {
				hists = append(hists, h)
				least = min(least, h.TotalCount())
			}
		}
		for _, q := range quantiles {
			if len(hists) == 0 || float64(least)*(100-q)/100 < beyond {
				continue
			}
			var v []float64
			for _, h := range hists {
				v = append(v, float64(h.ValueAtQuantile(q))/1e3)
			}
			median := stat.Median(v)
			p := chart.Point{X: 100 / (100 - q), Y: median, Low: median, High: median}
			if slices.Contains([]float64{50, 90, 99, 99.9, 99.99}, q) {
				p.Tip = fmt.Sprintf("%s, p%s: %s µs", s.Name, trimQuantile(q), number(median))
			}
			line.Points = append(line.Points, p)
			far = max(far, q)
		}
		l.Series = append(l.Series, line)
	}
	for _, q := range quantiles {
		if q <= far && (slices.Contains([]float64{50, 90, 99, 99.9, 99.99, 99.999}, q) || q == far) {
			t := chart.Tick{At: 100 / (100 - q)}
			if !(q == far && !slices.Contains([]float64{50, 90, 99, 99.9, 99.99, 99.999}, q)) {
				t.Text = trimQuantile(q) + " %"
			}
			l.Ticks = append(l.Ticks, t)
		}
	}
	return l.SVG()
}

func trimQuantile(q float64) string { return fmt.Sprintf("%.7g", q) }
