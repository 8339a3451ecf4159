//go:build linux

package machine

import (
	"slices"
	"testing"
)

func TestParseCPUs(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []int
		out  string
	}{
		{"0", []int{0}, "0"},
		{"3,0-1", []int{0, 1, 3}, "0-1,3"},
		{"2,2,1-3", []int{1, 2, 3}, "1-3"},
	} {
		got, err := ParseCPUs(c.in)
		if err != nil || !slices.Equal(got, c.want) || FormatCPUs(got) != c.out {
			t.Errorf("%q: %v, %v, %q", c.in, got, err, FormatCPUs(got))
		}
	}
	for _, bad := range []string{"", "x", "-1", "3-1", "1,", "0-9999"} {
		if got, err := ParseCPUs(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// What this process itself does is nobody else's.
func TestUse(t *testing.T) {
	if !named([]byte("cpu3"), []int{0, 3}) || named([]byte("cpu"), []int{0}) || named([]byte("cpu1"), []int{0, 3}) || named([]byte("ctxt"), []int{0}) {
		t.Error("another CPU's line is taken")
	}
	before := Look(Allowed()...)
	after := before
	for after.own < before.own+0.1 { // seconds of work, however long they take
		after = Look(Allowed()...)
	}
	if after.busy <= before.busy {
		t.Errorf("%v s of work, and no CPU was busy", after.own-before.own)
	}
	if others, _ := after.Since(before); others < 0 || others > float64(len(Allowed())) {
		t.Errorf("others kept %v CPUs busy", others)
	}
}

func TestAllowedAndSiblings(t *testing.T) {
	list := Allowed()
	if len(list) == 0 {
		t.Fatal("no CPU is allowed")
	}
	if s := Siblings(list[0]); !slices.Contains(s, list[0]) {
		t.Errorf("CPU %d is not among its siblings %v", list[0], s)
	}
}
