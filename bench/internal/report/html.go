package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/eyewall/eyewall/bench/internal/chart"
	"github.com/eyewall/eyewall/bench/internal/rows"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var page = template.Must(template.New("page").Parse(pageHTML))

// section is a part of the page.
type section struct {
	ID     string
	Title  string
	Text   string
	Plots  []figure
	Tables []template.HTML
}

// figure is a plot with its caption.
type figure struct {
	Caption string
	SVG     template.HTML
	Wide    bool
}

// HTML is a page with all of a run, and how it compares with an earlier one if there is one. It needs no other file.
func HTML(run, earlier *rows.Run) []byte {
	d := newData(run)
	var others string
	if d.rivalName() == "net" {
		others = "Ratios are to net, the standard library."
	} else {
		others = "Ratios are to the best server of a column."
	}
	var out bytes.Buffer
	err := page.Execute(&out, map[string]any{
		"CSS":      template.CSS(pageCSS),
		"Headline": d.headline(),
		"Where":    where(run),
		"Warning":  d.warning(),
		"Tiles":    d.tiles(),
		"Key":      d.key(),
		"Ratios":   others,
		"One":      slices.ContainsFunc(d.servers, func(s rows.Server) bool { return s.Accept == rows.One }),
		"Sections": d.sections(earlier),
		"Notes":    d.notes(),
		"Silent":   d.silent(),
		"Method":   d.method(),
		"Facts":    d.facts(),
		"Command":  run.Head.Command,
	})
	if err != nil { // the template is fixed, so this is a mistake in this package
		panic(err)
	}
	return out.Bytes()
}

// where is the machine in a line.
func where(run *rows.Run) string {
	parts := []string{run.Head.Started.Format("2 January 2006, 15:04")}
	for _, f := range run.Head.Facts {
		if f.Name == "Processor" || f.Name == "Kernel" || f.Name == "Go" {
			text := f.Text
			if f.Name == "Go" {
				text = "Go " + text
			}
			parts = append(parts, text)
		}
	}
	if run.Head.Loops > 1 {
		parts = append(parts, rows.Plural(run.Head.Loops, "loop"))
	}
	if text := polling(run.Head); text != "" {
		parts = append(parts, "busy polling for "+text)
	}
	return strings.Join(parts, " · ")
}

// polling is for how long eyewall's loops look for something before they block; empty where they block at once.
func polling(h rows.Head) string {
	if h.Polling == 0 {
		return ""
	}
	return fmt.Sprintf("%.4g\u00a0µs", 1e6*h.Polling)
}

// key is what colours and shapes mean.
func (d *data) key() (list []template.HTML) {
	for _, s := range d.servers {
		list = append(list, template.HTML(chart.Key(look(s))+template.HTMLEscapeString(s.Name)))
	}
	return list
}

// sections is the page's body, in order.
func (d *data) sections(earlier *rows.Run) (list []section) {
	if c, ok := d.base(); ok {
		allocating, width := d.allocates(c), 520.0
		if !allocating {
			width = 1072
		}
		s := section{ID: "message", Title: "What a message takes",
			Text: sentence(c) + " Server CPU, user and system; bars are medians, whiskers the rounds' range.",
			Plots: []figure{{SVG: template.HTML(d.barPlot(c, cpu, 1072, "CPU per message, µs", number, true)), Wide: true},
				{Caption: d.syscallText(c), SVG: template.HTML(d.barPlot(c, syscalls, width, "system calls per message", number, false)), Wide: !allocating}},
			Tables: []template.HTML{d.detailTable(c).html()}}
		if allocating {
			s.Plots = append(s.Plots, figure{Caption: "Objects that the Go heap was asked for.",
				SVG: template.HTML(d.barPlot(c, allocs, 520, "allocations per message", number, false))})
		} else { // and bars of nothing would not show it
			s.Text += " None of the servers allocates: the Go heap was asked for less than an object in a hundred messages."
		}
		list = append(list, s)
	}
	for _, a := range d.axes() {
		list = append(list, section{ID: strings.ReplaceAll(a.name, " ", "-"), Title: "By " + a.name, Text: a.title + ", closed loop." + limitText,
			Plots: []figure{{SVG: template.HTML(d.ratioPlot(a, cpu)), Wide: true},
				{SVG: template.HTML(d.plot(a, cpu, "server CPU per message, µs", short))},
				{SVG: template.HTML(d.plot(a, throughput, "messages per second", short))}},
			Tables: []template.HTML{d.cpuTable(a).html(), d.throughputTable(a).html()}})
	}
	if a := d.crowd(); len(a.cells) > 0 {
		list = append(list, section{ID: "crowd", Title: "Beside idle connections",
			Text: a.title + ", closed loop; the other connections do nothing until the end, when each is found to be served still. " +
				"What is only watched costs select at each turn, up to the highest descriptor; epoll and io_uring look at what is ready.",
			Plots:  []figure{{SVG: template.HTML(d.plot(a, cpu, "server CPU per message, µs", short)), Wide: true}},
			Tables: []template.HTML{d.crowdTable(a).html()}})
	}
	if cells := d.of(rows.Latency); len(cells) > 0 {
		s := section{ID: "latency", Title: "Latency at fixed rates", Text: "Open loop over " + rows.Plural(cells[0].Conns, "connection") +
			": messages leave when they are due, whatever comes back, and latency runs from that moment, so that a stall counts for every message it held up " +
			"(no coordinated omission). Each line is the median of the rounds at each quantile."}
		for _, c := range cells {
			s.Plots = append(s.Plots, figure{Caption: rows.Count(c.Rate) + " messages per second", SVG: template.HTML(d.latencyPlot(c))})
			s.Tables = append(s.Tables, d.latencyTable(c).html())
		}
		if len(cells) > 1 {
			rates := axis{name: "messages per second", cells: cells, x: func(c rows.Cell) float64 { return c.Rate },
				tick: func(c rows.Cell) string { return rows.Count(c.Rate) }}
			s.Plots = append(s.Plots, figure{Caption: "By rate", SVG: template.HTML(d.plot(rates, p99, "p99 latency, µs", short))})
		}
		list = append(list, s)
	}
	for _, c := range d.of(rows.Memory) {
		list = append(list, section{ID: "memory", Title: "Memory per idle connection",
			Text:   sentence(c) + " Growth of the process's resident memory; dashed and behind the arrow, what it is once each connection has carried a message. The kernel's own memory, some KiB for each socket and the same for all, is not in it.",
			Plots:  []figure{{SVG: template.HTML(d.barPlot(c, rss, 1072, "bytes per connection", number, false)), Wide: true}},
			Tables: []template.HTML{d.memoryTable(c).html()}})
	}
	for _, c := range d.of(rows.Accept) {
		list = append(list, section{ID: "accept", Title: "Connections accepted",
			Text: sentence(c) + limitText,
			Plots: []figure{{SVG: template.HTML(d.barPlot(c, cpuConn, 520, "CPU per connection, µs", number, false))},
				{SVG: template.HTML(d.barPlot(c, throughput, 520, "connections per second", number, false))}},
			Tables: []template.HTML{d.acceptTable(c).html()}})
	}
	if earlier != nil {
		x := compare(d.run, earlier)
		list = append(list, section{ID: "compare", Title: x.title, Text: x.note, Tables: []template.HTML{x.html()}})
	}
	return list
}

const limitText = " Where a throughput has a star, the client was the limit and the server could do more: look at the CPU then."

// allocates tells whether a server allocates for messages, or might.
func (d *data) allocates(c rows.Cell) bool {
	for _, s := range d.servers {
		if v := d.median(c, s.Name, allocs); !(v < 0.01) {
			return true
		}
	}
	return false
}

func (d *data) syscallText(c rows.Cell) string {
	for _, s := range d.servers {
		if list := d.byCell[c][s.Name]; len(list) > 0 {
			switch list[0].SyscallsFrom {
			case rows.FromKernel:
				return "Counted by the kernel, all of them."
			case rows.FromIO:
				return "Eyewall's as its backends count them; others' (≥) are reads and writes only, a lower bound."
			}
		}
	}
	return "As the backends count them."
}

// html writes the table for the page. Ratios are tinted, the more the farther they are from 1.
func (t table) html() template.HTML {
	var b strings.Builder
	esc := template.HTMLEscapeString
	fmt.Fprintf(&b, `<figure class="table"><figcaption>%s<span>%s</span></figcaption><div class="scroll"><table><thead>`, esc(t.title), esc(t.note))
	grouped := false
	for _, c := range t.columns {
		grouped = grouped || c.group != ""
	}
	if grouped {
		b.WriteString(`<tr><th></th>`)
		for i := 0; i < len(t.columns); {
			k := i + 1
			for k < len(t.columns) && t.columns[k].group == t.columns[i].group {
				k++
			}
			fmt.Fprintf(&b, `<th colspan="%d" class="group">%s</th>`, k-i, esc(t.columns[i].group))
			i = k
		}
		b.WriteString(`</tr>`)
	}
	b.WriteString(`<tr><th></th>`)
	for _, c := range t.columns {
		fmt.Fprintf(&b, `<th>%s</th>`, esc(c.name))
	}
	b.WriteString(`</tr></thead><tbody>`)
	for i, l := range t.lines {
		class := ""
		if l.peer {
			class = ` class="peer"`
			if i > 0 && !t.lines[i-1].peer {
				class = ` class="peer first"`
			}
		}
		fmt.Fprintf(&b, `<tr%s><th>%s</th>`, class, esc(l.server))
		for _, c := range l.cells {
			fmt.Fprintf(&b, `<td%s>%s</td>`, tint(c.ratio), esc(strings.TrimSpace(c.text)))
		}
		b.WriteString(`</tr>`)
	}
	b.WriteString(`</tbody></table></div></figure>`)
	return template.HTML(b.String())
}

// tint colours a ratio: one way below 1, another above.
func tint(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	strength := min(3, math.Round(math.Abs(math.Log(v))/math.Log(1.22)))
	switch {
	case strength < 1:
		return ` class="ratio"`
	case v < 1:
		return fmt.Sprintf(` class="ratio less%.0f"`, strength)
	}
	return fmt.Sprintf(` class="ratio more%.0f"`, strength)
}

// facts is the machine, and what ran on it.
func (d *data) facts() []rows.Fact {
	h := d.run.Head
	facts := append([]rows.Fact(nil), h.Facts...)
	shared := ""
	if h.Shared {
		shared = ", shared"
	}
	facts = append(facts, rows.Fact{Name: "CPUs", Text: "server " + h.ServerCPUs + ", client " + h.ClientCPUs + shared + "; " + rows.Plural(h.Loops, "loop")})
	if text := polling(h); text != "" {
		facts = append(facts, rows.Fact{Name: "Busy polling", Text: text + " before a loop of eyewall's blocks"})
	}
	seen := map[string]bool{}
	for _, s := range h.Servers {
		switch {
		case s.Peer() && s.Version != "":
			facts = append(facts, rows.Fact{Name: s.Name, Text: s.Version})
		case s.On != "" && !seen[s.Backend]:
			seen[s.Backend] = true
			facts = append(facts, rows.Fact{Name: s.Backend, Text: s.On})
		}
	}
	return facts
}
