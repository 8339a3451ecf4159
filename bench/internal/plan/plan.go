// Package plan says what is measured, in which order.
package plan

import (
	"math"
	"slices"
	"time"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

// Options is what the user asked for.
type Options struct {
	Kinds    []rows.Kind
	Conns    []int
	Sizes    []int
	Pipeline []int
	Rates    []float64 // empty: what suits the machine, see Rates
	Idle     int       // connections whose memory is measured
	Crowd    []int     // idle connections beside busy ones
	Rounds   int
	Duration time.Duration
	Warmup   time.Duration
	Loops    int
}

// What the cells of one row have in common while one thing changes.
const (
	BaseConns  = 100 // connections of the rows over the pipeline, and of the latency; the busy ones in a crowd
	SizeConns  = 50  // connections of the rows over the size
	AcceptBusy = 64  // connections on their way at once
	AutoRates  = 3   // rates that Rates chooses
)

// Base is the size of a message where it is not what changes.
func (o *Options) Base() int { return o.Sizes[0] }

// Step is a measurement.
type Step struct {
	Round  int
	Cell   rows.Cell
	Server int // its index
	Auto   int // if not 0, the rate is the Auto-th that Rates chooses
}

// Cells lists what is measured on each server. A latency whose rate is still to be chosen has none; auto tells which
// one it gets.
func (o *Options) Cells() (cells []rows.Cell) {
	add := func(c rows.Cell) {
		if !slices.Contains(cells, c) || c.Kind == rows.Latency {
			cells = append(cells, c)
		}
	}
	for _, kind := range rows.Kinds {
		if !slices.Contains(o.Kinds, kind) {
			continue
		}
		base := rows.Cell{Kind: kind, Size: o.Base(), Depth: 1}
		switch kind {
		case rows.Load:
			for _, n := range o.Conns {
				c := base
				c.Conns = n
				add(c)
			}
			for _, n := range o.Sizes {
				c := base
				c.Conns, c.Size = SizeConns, n
				if len(o.Sizes) > 1 {
					add(c)
				}
			}
			for _, n := range o.Pipeline {
				c := base
				c.Conns, c.Depth = BaseConns, n
				if len(o.Pipeline) > 1 || n > 1 {
					add(c)
				}
			}
		case rows.Crowd:
			base.Conns = BaseConns
			for _, n := range o.Crowd {
				c := base
				c.Idle = n
				add(c)
			}
		case rows.Latency:
			base.Conns = BaseConns
			rates := o.Rates
			if len(rates) == 0 {
				rates = make([]float64, AutoRates)
			}
			for _, r := range rates {
				c := base
				c.Rate = r
				add(c)
			}
		case rows.Accept:
			base.Conns = AcceptBusy
			add(base)
		case rows.Memory:
			base.Conns = o.Idle
			add(base)
		}
	}
	return cells
}

// Steps is the measurements in their order: rounds are interleaved, so that a machine that slows down slows every server
// down, and each round begins with another server. Memory, which varies little, is measured in the first round only.
func (o *Options) Steps(servers int) (steps []Step) {
	cells := o.Cells()
	for round := range o.Rounds {
		auto := 0
		for _, c := range cells {
			if c.Kind == rows.Memory && round > 0 {
				continue
			}
			if c.Kind == rows.Latency && c.Rate == 0 {
				auto++
			}
			for i := range servers {
				s := Step{Round: round, Cell: c, Server: (i + round) % servers}
				if c.Kind == rows.Latency && c.Rate == 0 {
					s.Auto = auto
				}
				steps = append(steps, s)
			}
		}
	}
	return steps
}

// Rates chooses rates for the latency: the n greatest of 1, 2, 5, 10, 20, ... that are up to seven tenths of what the
// fastest server did, or as many as there are, from the least to the greatest. They are round so that runs can be
// compared.
func Rates(fastest float64, n int) (rates []float64) {
	for decade := math.Pow(10, math.Ceil(math.Log10(max(fastest, 1)))); decade >= 1 && len(rates) < n; decade /= 10 {
		for _, digit := range []float64{5, 2, 1} {
			if r := digit * decade; r <= 0.7*fastest && len(rates) < n {
				rates = append(rates, r)
			}
		}
	}
	slices.Reverse(rates)
	return rates
}

// Fastest is the most messages per second that a server did over some connections, one message on each.
func Fastest(all []rows.Row, size int) (most float64) {
	for _, r := range all {
		if r.Kind == rows.Load && r.Depth == 1 && r.Size == size {
			most = max(most, r.PerSecond)
		}
	}
	return most
}

// Estimate is how long the steps take, from experience: processes start, connections are opened.
func (o *Options) Estimate(steps []Step) (d time.Duration) {
	for _, s := range steps {
		d += o.Cost(s.Cell)
	}
	return d
}

// Cost is Estimate for one cell.
func (o *Options) Cost(c rows.Cell) time.Duration {
	d := 70*time.Millisecond + time.Duration(c.Conns)*30*time.Microsecond + time.Duration(c.Idle)*45*time.Microsecond
	if c.Kind == rows.Memory {
		return d + 2*Settle + time.Duration(c.Conns)*30*time.Microsecond
	}
	return d + o.Window(c.Kind) + o.Warmup
}

// Window is how long one measurement of a kind goes on. Quantiles far out take more messages than a mean does.
func (o *Options) Window(kind rows.Kind) time.Duration {
	if kind == rows.Latency {
		return 2 * o.Duration
	}
	return o.Duration
}

// Settle is how long memory is given to come to rest before it is read.
const Settle = 300 * time.Millisecond

// Most is the most connections that a cell has.
func (o *Options) Most() (most int) {
	for _, c := range o.Cells() {
		most = max(most, c.Conns+c.Idle)
	}
	return most
}

// Change is numbers of connections that became another.
type Change struct {
	From []int
	To   int
}

// Limit makes connections fit into so many descriptors of one process, and tells which numbers of them it changed, and
// which numbers of idle ones beside busy ones. What is not measured stays as it is.
func (o *Options) Limit(descriptors int) (conns, crowds Change) {
	others := min(200, descriptors/2) // descriptors for all else; generous, since some servers keep more than others
	most := max(descriptors-others, 1)
	conns.To, crowds.To = most, max(most-BaseConns, 0)
	if slices.Contains(o.Kinds, rows.Load) {
		o.Conns, conns.From = limit(o.Conns, conns.To)
	}
	if slices.Contains(o.Kinds, rows.Memory) && o.Idle > most {
		conns.From = append(conns.From, o.Idle)
		o.Idle = most
	}
	if slices.Contains(o.Kinds, rows.Crowd) {
		o.Crowd, crowds.From = limit(o.Crowd, crowds.To)
	}
	slices.Sort(conns.From)
	conns.From = slices.Compact(conns.From)
	return conns, crowds
}

// limit makes all numbers be most at most, in order and without doubles, and returns those that it changed as well.
func limit(list []int, most int) (limited, changed []int) {
	for _, n := range list {
		if n > most {
			changed = append(changed, n)
		}
		limited = append(limited, min(n, most))
	}
	slices.Sort(limited)
	slices.Sort(changed)
	return slices.Compact(limited), changed
}
