package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/eyewall/eyewall/bench/internal/rows"
	"github.com/eyewall/eyewall/bench/internal/stat"
)

func spread(v []float64) float64 { return stat.Spread(v) }

// difference is how one figure of one server has changed.
type difference struct {
	cell   rows.Cell
	server rows.Server
	metric metric
	was    float64
	is     float64
	ratio  stat.Interval // now to then
	few    bool          // both runs have as few rounds as an interval takes
}

// Verdicts.
const (
	better = "better"
	worse  = "worse"
	same   = "no difference seen"
	vague  = "too few rounds"
)

// verdict says in a word what that means.
func (x difference) verdict() string {
	switch {
	case !x.ratio.Known:
		return vague
	case !x.ratio.Differs():
		return same
	case (x.ratio.Ratio < 1) != x.metric.more:
		return better
	}
	return worse
}

// differences pairs what both runs measured.
func differences(run, earlier *rows.Run) (list []difference) {
	now, then := newData(run), newData(earlier)
	for _, c := range now.cells {
		metrics := []metric{mainMetric(c.Kind)}
		if c.Kind == rows.Load {
			metrics = append(metrics, throughput)
		}
		for _, m := range metrics {
			for _, s := range now.servers {
				a, b := now.values(c, s.Name, m), then.values(c, s.Name, m)
				if len(a) == 0 || len(b) == 0 {
					continue
				}
				list = append(list, difference{c, s, m, stat.Median(b), stat.Median(a), stat.Ratio(a, b), max(len(a), len(b)) == stat.MinSample})
			}
		}
	}
	return list
}

// comparison is two runs, one beside the other.
type comparison struct {
	title string
	note  string
	list  []difference
}

func compare(run, earlier *rows.Run) comparison {
	x := comparison{title: "Beside the run of " + earlier.Head.Started.Format("2 January 2006, 15:04"), list: differences(run, earlier)}
	if len(x.list) == 0 {
		x.note = "The two runs have no measurement in common."
		return x
	}
	count := map[string]int{}
	chance := 0.0
	for _, d := range x.list {
		count[d.verdict()]++
		switch {
		case !d.ratio.Known:
		case d.few: // all of one run's are below all of the other's in 2 of 20 orders
			chance += 0.1
		default:
			chance += 0.05
		}
	}
	x.note = fmt.Sprintf("Of %s, %s better, %s worse; the others show no difference or had too few rounds. "+
		"Ratios are of medians, now to then, with the percentile bootstrap's 95 %% confidence interval. If nothing had changed, about %s of them "+
		"would leave out 1 all the same: one in twenty, or one in ten where both runs have %d rounds, which give intervals that are too narrow. "+
		"What else the machine was doing counts as change.", rows.Plural(len(x.list), "figure"), rows.Count(float64(count[better])), rows.Count(float64(count[worse])),
		rows.Count(math.Ceil(chance)), stat.MinSample)
	if changes := changes(run.Head, earlier.Head); len(changes) > 0 {
		x.note += " The runs were not alike: " + strings.Join(changes, "; ") + "."
	}
	return x
}

// changes lists what differs between runs that makes a difference to figures, from then to now.
func changes(now, then rows.Head) (list []string) {
	add := func(what, was, is string) {
		if was != is {
			list = append(list, fmt.Sprintf("%s %s, now %s", what, was, is))
		}
	}
	add("loops", strconv.Itoa(then.Loops), strconv.Itoa(now.Loops))
	add("busy polling", cmp.Or(polling(then), "none"), cmp.Or(polling(now), "none"))
	add("server on CPU", then.ServerCPUs, now.ServerCPUs)
	add("client on CPU", then.ClientCPUs, now.ClientCPUs)
	add("ms a measurement", number(1e3*then.Window), number(1e3*now.Window))
	facts := map[string]string{}
	for _, f := range then.Facts {
		facts[f.Name] = f.Text
	}
	for _, f := range now.Facts {
		if was, ok := facts[f.Name]; ok && slices.Contains([]string{"Processor", "Memory", "Kernel", "Go"}, f.Name) {
			add(f.Name, was, f.Text)
		}
	}
	return list
}

// table is what has changed, for the terminal.
func (x comparison) table() table {
	t := table{title: x.title, note: x.note,
		columns: []column{{"", "what"}, {"", "then"}, {"", "now"}, {"", "ratio"}, {"", "95 % interval"}, {"", ""}}}
	for _, x := range x.list {
		if v := x.verdict(); v != better && v != worse {
			continue
		}
		interval := ratio(x.ratio.Low) + " to " + ratio(x.ratio.High)
		t.lines = append(t.lines, line{x.server.Name, false, plain(x.metric.name+", "+x.cell.String(), number(x.was), number(x.is),
			ratio(x.ratio.Ratio), interval, x.verdict())})
	}
	return t
}
