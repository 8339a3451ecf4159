// Package stat is the little statistics that the benchmark needs.
package stat

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Median is the median of v, NaN where v is empty.
func Median(v []float64) float64 { return medianOf(slices.Sorted(slices.Values(v))) }

func medianOf(sorted []float64) float64 {
	n := len(sorted)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return sorted[n/2]
	default:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
}

// Spread is how far apart the values of v are, from the least to the greatest, as a part of their median.
func Spread(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	return (slices.Max(v) - slices.Min(v)) / Median(v)
}

// Interval is a ratio of two medians, and what the bootstrap gives as its 95 % confidence interval.
type Interval struct {
	Ratio, Low, High float64
	Known            bool // Low and High are set: both samples had at least MinSample values
}

// MinSample is how many values a confidence interval takes at least.
const MinSample = 3

// Differs tells whether 1 is outside of the interval.
func (i Interval) Differs() bool { return i.Known && (i.Low > 1 || i.High < 1) }

const resamples = 4000

// Ratio compares the median of a with that of b: a/b. The interval is the percentile bootstrap's: both samples are
// drawn again, with replacement, resamples times, and the middle 95 % of the ratios of medians are it. The draws are the
// same each time, so that the same rows give the same report.
func Ratio(a, b []float64) Interval {
	i := Interval{Ratio: Median(a) / Median(b)}
	if len(a) < MinSample || len(b) < MinSample {
		return i
	}
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(from, to []float64) float64 {
		for k := range to {
			to[k] = from[random.IntN(len(from))]
		}
		slices.Sort(to)
		return medianOf(to)
	}
	ratios := make([]float64, resamples)
	as, bs := make([]float64, len(a)), make([]float64, len(b))
	for k := range ratios {
		ratios[k] = draw(a, as) / draw(b, bs)
	}
	slices.Sort(ratios)
	i.Low, i.High = ratios[resamples*25/1000], ratios[resamples*975/1000-1]
	i.Known = true
	return i
}
