//go:build linux

package run

import (
	"errors"
	"testing"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

// What others disturbed is measured again, as often as that is granted; the figures do not choose.
func TestUndisturbed(t *testing.T) {
	lost := errors.New("lost")
	type measurement struct {
		others, cpu float64
		err         error
	}
	for _, c := range []struct {
		name  string
		again int
		made  []measurement // in turn
		taken int           // which of them counts
	}{
		{"quiet", 5, []measurement{{0.1, 9, nil}}, 0},
		{"then quiet", 5, []measurement{{0.9, 3, nil}, {0.1, 9, nil}}, 1},
		{"then busier", 5, []measurement{{0.5, 9, nil}, {0.9, 3, nil}}, 0},
		{"then failed", 5, []measurement{{0.5, 9, nil}, {0, 0, lost}}, 0},
		{"failed", 5, []measurement{{0.9, 0, lost}}, 0},
		{"too often", 0, []measurement{{0.9, 9, nil}}, 0},
	} {
		r := &Runner{again: c.again}
		made := 0
		row, err := r.undisturbed(func() (rows.Row, error) {
			if made == len(c.made) {
				t.Fatalf("%s: measured more than %d times", c.name, made)
			}
			m := c.made[made]
			made++
			return rows.Row{Others: m.others, CPU: m.cpu}, m.err
		})
		if want := c.made[c.taken]; made != len(c.made) || row.CPU != want.cpu || err != want.err {
			t.Errorf("%s: measured %d times, took %+v, %v", c.name, made, row, err)
		}
		if want := c.again - (made - 1); r.again != want {
			t.Errorf("%s: %d more are granted, want %d", c.name, r.again, want)
		}
	}
}

func TestCPUs(t *testing.T) {
	r := &Runner{ServerCPUs: []int{0, 1}, ClientCPUs: []int{3, 1}}
	if got := r.CPUs(); len(got) != 3 || got[0] != 0 || got[1] != 1 || got[2] != 3 {
		t.Errorf("%v", got)
	}
	if len(r.ClientCPUs) != 2 || r.ClientCPUs[0] != 3 {
		t.Errorf("the client's became %v", r.ClientCPUs)
	}
}
