package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

// notes is what a reader must know: what could not be measured, and what to doubt.
func (d *data) notes() (notes []string) {
	foot := d.run.Foot
	switch {
	case foot.Ended.IsZero():
		notes = append(notes, "The run was cut short: these are the measurements that had been saved.")
	case foot.Interrupted:
		notes = append(notes, fmt.Sprintf("The run was interrupted after %d of %d measurements: medians are of fewer rounds, or missing.",
			len(d.run.Rows), foot.Planned))
	}
	notes = append(notes, foot.Notes...)
	if foot.Others > 0.05 {
		notes = append(notes, fmt.Sprintf("Other programs kept %s CPUs busy meanwhile: the figures are rougher than they could be.", number(foot.Others)))
	}
	if n := d.disturbed(); n > 0 {
		notes = append(notes, fmt.Sprintf("Other programs kept more than %s CPUs busy during %s of %s: look at what is far from its neighbours with that in mind.",
			number(rows.Disturbed), rows.Count(float64(n)), rows.Plural(len(d.run.Rows), "measurement")))
	}
	if list := d.behind(); len(list) > 0 {
		notes = append(notes, "Did not keep up with the rate, so that the latency is how long the run was: "+strings.Join(list, "; ")+".")
	}
	if late := d.late(); late > 20 {
		notes = append(notes, fmt.Sprintf("In the open loop the client itself was late by up to %s µs (its p99); that is part of the latencies.", number(late)))
	}
	if noisy := d.noisy(); noisy > 0.1 {
		notes = append(notes, fmt.Sprintf("The rounds of one cell were %s apart in CPU per message, as a median over all cells: look at the ratios with that in mind.", percent(noisy)))
	}
	return notes
}

// disturbed counts the measurements that are in doubt.
func (d *data) disturbed() (n int) {
	for _, r := range d.run.Rows {
		if r.Others > rows.Disturbed {
			n++
		}
	}
	return n
}

// warning is what a reader must know before anything else; empty where there is no such thing.
func (d *data) warning() string {
	if d.run.Foot.Others < 0.2 {
		return ""
	}
	return fmt.Sprintf("This machine was busy: other programs kept %s CPUs at work meanwhile. Latency and throughput are mostly theirs; "+
		"CPU per message suffers less. For figures to rely on, run it again on a machine that does nothing else.", number(d.run.Foot.Others))
}

// behind lists who did not keep up with a rate.
func (d *data) behind() (list []string) {
	for _, c := range d.of(rows.Latency) {
		for _, s := range d.servers {
			if v := d.median(c, s.Name, throughput); v < 0.98*c.Rate {
				list = append(list, fmt.Sprintf("%s at %s/s", s.Name, rows.Count(c.Rate)))
			}
		}
	}
	return list
}

// late is the client's own lateness in the worst cell whose servers kept up.
func (d *data) late() (worst float64) {
	for _, c := range d.of(rows.Latency) {
		for _, s := range d.servers {
			if d.median(c, s.Name, throughput) >= 0.98*c.Rate {
				worst = max(worst, d.median(c, s.Name, late))
			}
		}
	}
	return worst
}

// noisy is the median spread of the main figure.
func (d *data) noisy() float64 {
	var spreads []float64
	for _, c := range slices.Concat(d.of(rows.Load), d.of(rows.Crowd)) {
		for _, s := range d.servers {
			if v := d.values(c, s.Name, cpu); len(v) > 1 {
				spreads = append(spreads, spread(v))
			}
		}
	}
	slices.Sort(spreads)
	if len(spreads) == 0 {
		return 0
	}
	return spreads[len(spreads)/2]
}

// silent is what no figure here says.
func (d *data) silent() []string {
	if len(d.crowd().cells) > 0 {
		return never
	}
	return append([]string{"Nothing of connections that are idle while others are busy, for which select pays with each message: -measure crowd does."}, never...)
}

// never is what no figure of any run says.
var never = []string{
	"Nothing of a network: all of it is loopback, where the sender's CPU does the receiver's TCP work. Part of the client's cost is in every server's figure, and the same part in all of them.",
	"Nothing of a server's own work: an echo does nothing with a message. What a real server does is added to each figure, and brings the ratios nearer to 1.",
	"Little of uneven traffic: all connections are equally busy, all messages equally large. Slow readers, bursts and mixtures are not here.",
	"Little of rare events: windows are short, so a pause that comes once in a minute is probably not in them.",
	"Not how other libraries do at their best: they run as their own examples do, with the same number of loops and TCP_NODELAY on all.",
	"Not what a server could do on a CPU that is idle between messages: where it is not fully busy, waking up is part of its CPU per message; with one connection that is most of it.",
}

// method says how it was measured.
func (d *data) method() []string {
	h := d.run.Head
	window := fmt.Sprintf("%g ms", 1e3*h.Window)
	list := []string{
		"Every measurement has a new server process on CPU " + h.ServerCPUs + " and a new client process on CPU " + h.ClientCPUs + ". What the server's process uses, all its threads, is read from its CPU clock at both ends of a window of " + window + ", or twice that for latency.",
		fmt.Sprintf("Rounds are interleaved: %s, each over all cells and all servers, each beginning with another server. Figures are medians of the rounds.", rows.Plural(h.Rounds, "round")),
		fmt.Sprintf("A measurement during which other programs kept more than %s of these CPUs busy is made again, up to a twentieth of all of them, and the one that was less disturbed counts.", number(rows.Disturbed)),
		"The client is a loop on epoll made for this, and nothing of eyewall's. Every byte that comes back is checked; a measurement with a wrong one counts as failed.",
		"Allocations are those of Go's heap, over the window. System calls are those that eyewall's backends count themselves, over the window; others', and all where the kernel counts them, are counted for 50 ms after it, since counting has its price.",
	}
	return list
}
