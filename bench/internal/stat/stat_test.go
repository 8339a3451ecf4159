package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMedianAndSpread(t *testing.T) {
	for _, c := range []struct {
		v              []float64
		median, spread float64
	}{
		{[]float64{3}, 3, 0},
		{[]float64{4, 1, 2}, 2, 1.5},
		{[]float64{4, 1, 2, 3}, 2.5, 1.2},
	} {
		before := append([]float64(nil), c.v...)
		if m, s := Median(c.v), Spread(c.v); m != c.median || math.Abs(s-c.spread) > 1e-12 {
			t.Errorf("%v: median %v, spread %v", c.v, m, s)
		}
		for i := range before {
			if before[i] != c.v[i] {
				t.Fatalf("%v was reordered to %v", before, c.v)
			}
		}
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

func TestRatioNeedsThreeOfEach(t *testing.T) {
	i := Ratio([]float64{2, 2}, []float64{1, 1, 1})
	if i.Ratio != 2 || i.Known || i.Differs() {
		t.Errorf("got %+v", i)
	}
}

func TestRatioTellsDifferenceFromNoise(t *testing.T) {
	a, b := []float64{100, 101, 99, 100.5, 99.5}, []float64{90, 91, 89, 90.5, 89.5}
	if i := Ratio(a, b); !i.Differs() || i.Low > i.Ratio || i.High < i.Ratio || i.Low < 1.05 || i.High > 1.2 {
		t.Errorf("ten percent apart: %+v", i)
	}
	if i := Ratio(a, a); i.Differs() || i.Ratio != 1 {
		t.Errorf("the same: %+v", i)
	}
	if Ratio(a, b) != Ratio(a, b) {
		t.Error("not the same each time")
	}
}

// The interval should hold the true ratio in about 95 of 100 runs; with few rounds a bootstrap promises a little much.
func TestRatioCoverage(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for _, c := range []struct {
		rounds int
		least  float64
	}{{3, 0.82}, {5, 0.88}, {9, 0.88}} {
		sample := func(center float64) []float64 {
			v := make([]float64, c.rounds)
			for i := range v {
				v[i] = center * math.Exp(0.03*random.NormFloat64())
			}
			return v
		}
		const runs = 150
		held := 0
		for range runs {
			if i := Ratio(sample(1.1), sample(1)); i.Low <= 1.1 && 1.1 <= i.High {
				held++
			}
		}
		t.Logf("%d rounds: %.3f", c.rounds, float64(held)/runs)
		if float64(held)/runs < c.least {
			t.Errorf("%d rounds: the interval held the true ratio in %d of %d runs", c.rounds, held, runs)
		}
	}
}
