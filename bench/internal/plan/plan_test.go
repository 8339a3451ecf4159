package plan

import (
	"slices"
	"testing"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

func TestRates(t *testing.T) {
	for _, c := range []struct {
		fastest float64
		want    []float64
	}{
		{230000, []float64{20000, 50000, 100000}},
		{100000, []float64{10000, 20000, 50000}},
		{72000, []float64{10000, 20000, 50000}},
		{3, []float64{1, 2}},
		{0, nil},
	} {
		if got := Rates(c.fastest, 3); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.fastest, got, c.want)
		}
	}
}

func options() *Options {
	return &Options{Kinds: rows.Kinds, Conns: []int{1, 100, 5000}, Sizes: []int{64, 1024}, Pipeline: []int{1, 16}, Idle: 5000,
		Crowd: []int{0, 700, 5000, 900}, Rounds: 2}
}

func TestCells(t *testing.T) {
	o := options()
	cells := o.Cells()
	load := 0
	for i, c := range cells {
		if c.Kind == rows.Load {
			load++
			if slices.Contains(cells[i+1:], c) {
				t.Errorf("twice: %v", c)
			}
		}
	}
	if load != 6 || len(cells) != 6+4+AutoRates+1+1 { // 100 connections of 64 B is in two of the rows
		t.Errorf("%d of load in %d cells: %v", load, len(cells), cells)
	}
	o.Kinds, o.Rates = []rows.Kind{rows.Latency}, []float64{7}
	if cells := o.Cells(); len(cells) != 1 || cells[0].Rate != 7 || cells[0].Conns != BaseConns {
		t.Errorf("one rate: %v", cells)
	}
}

func TestStepsAreInterleaved(t *testing.T) {
	o := options()
	steps := o.Steps(3)
	first := map[int]int{} // of each round
	count := map[rows.Kind]int{}
	for i, s := range steps {
		if _, ok := first[s.Round]; !ok {
			first[s.Round] = s.Server
		}
		count[s.Cell.Kind]++
		if s.Cell.Kind == rows.Latency && (s.Auto < 1 || s.Auto > AutoRates) {
			t.Errorf("step %d: %+v", i, s)
		}
		if i > 0 && s.Cell == steps[i-1].Cell && s.Round == steps[i-1].Round && s.Auto == steps[i-1].Auto && s.Server == steps[i-1].Server {
			t.Errorf("step %d repeats %+v", i, s)
		}
	}
	if first[0] == first[1] {
		t.Error("both rounds begin with the same server")
	}
	if count[rows.Memory] != 3 || count[rows.Accept] != 6 {
		t.Errorf("counts: %v", count)
	}
}

func TestLimit(t *testing.T) {
	o := options()
	if n := o.Most(); n != 5100 {
		t.Errorf("%d connections at most", n)
	}
	conns, crowds := o.Limit(1024)
	if conns.To != 824 || !slices.Equal(conns.From, []int{5000}) || !slices.Equal(o.Conns, []int{1, 100, 824}) || o.Idle != 824 {
		t.Errorf("changed %v: %v, %d", conns, o.Conns, o.Idle)
	}
	if crowds.To != 724 || !slices.Equal(crowds.From, []int{900, 5000}) || !slices.Equal(o.Crowd, []int{0, 700, 724}) || o.Most() != 824 {
		t.Errorf("changed %v of the crowds: %v", crowds, o.Crowd)
	}
	if conns, crowds := o.Limit(1024); conns.From != nil || crowds.From != nil {
		t.Errorf("changed %v and %v again", conns, crowds)
	}
	if conns, crowds := o.Limit(100); conns.To != 50 || crowds.To != 0 || !slices.Equal(o.Conns, []int{1, 50}) || !slices.Equal(o.Crowd, []int{0}) {
		t.Errorf("changed %v and %v: %v, %v", conns, crowds, o.Conns, o.Crowd)
	}
	o = options()
	o.Kinds = []rows.Kind{rows.Accept}
	if conns, crowds := o.Limit(1024); conns.From != nil || crowds.From != nil || o.Most() != AcceptBusy {
		t.Errorf("changed %v and %v, which are not measured", conns, crowds)
	}
}
