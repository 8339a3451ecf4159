package chart

import (
	"encoding/xml"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
	}
}

func TestLines(t *testing.T) {
	l := Lines{Title: "a < b", X: "x", Y: "y", Ticks: []Tick{{1, "1"}, {1000, "1,000"}}, LogX: true, Text: func(float64) string { return "v" },
		Series: []Series{
			{Name: "one & only", Look: Look{Color: "var(--a)"}, Points: []Point{{1, 3, 2, 4, "tip"}, {1000, 300, 300, 300, "tip"}}},
			{Name: "other", Look: Look{Color: "var(--b)", Dashed: true, Shape: Cross}, Points: []Point{{1, 5, 5, 5, "tip"}}},
			{Name: "empty"},
		}}
	svg := l.SVG()
	wellFormed(t, svg)
	if !strings.Contains(svg, "one &amp; only") || strings.Contains(svg, "NaN") || strings.Contains(svg, "empty") {
		t.Error(svg)
	}
	l.Ticks = l.Ticks[:1] // one place
	if svg := l.SVG(); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error(svg)
	}
	if svg := (Lines{}).SVG(); svg != "" {
		t.Error(svg)
	}
}

func TestBars(t *testing.T) {
	svg := Bars{Width: 500, Bars: []Bar{
		{Name: "a", Value: 3, Low: 2, High: 4, Text: "3", Tip: "<"},
		{Name: "b", Value: math.NaN(), Text: "failed"},
		{Name: "c", Value: 0, Beyond: 1, Apart: true},
	}}.SVG()
	wellFormed(t, svg)
	if strings.Contains(svg, "NaN") {
		t.Error(svg)
	}
	wellFormed(t, Interval(1.1, 0.9, 99, 2, 100, 14))
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		s    scale
		most int
		want []float64
	}{
		{scale{low: 0, high: 10}, 5, []float64{0, 2, 4, 6, 8, 10}},
		{scale{low: 0.9, high: 110, log: true}, 7, []float64{1, 2, 5, 10, 20, 50, 100}},
		{scale{low: 0.9, high: 1100, log: true}, 5, []float64{1, 10, 100, 1000}},
	} {
		if got := c.s.ticks(c.most); !slices.Equal(got, c.want) && len(got) != len(c.want) {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
}

func TestSpreadOut(t *testing.T) {
	got := spreadOut([]float64{10, 11, 12, 50, 99, 99}, 10, 0, 100)
	for i := range got {
		if i > 0 && got[i]-got[i-1] < 10-1e-9 || got[i] < 0 || got[i] > 100 {
			t.Fatalf("%v", got)
		}
	}
	if math.Abs(got[1]-11) > 1e-9 || got[3] != 50 {
		t.Errorf("moved farther than needed: %v", got)
	}
	if got := spreadOut(nil, 10, 0, 100); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
