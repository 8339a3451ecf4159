//go:build linux

package uring

import (
	"testing"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/backendtest"
	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"github.com/eyewall/eyewall/internal/testenv"
)

func TestConformance(t *testing.T) {
	for _, g := range variants(t) {
		t.Run(g.name, func(t *testing.T) { backendtest.Run(t, g.open) })
	}
}

// The smallest queue is slow, and that is all.
func TestConformanceOfOneEntry(t *testing.T) {
	g := need(t, basic) // which shares its queue between operations and buffers
	backendtest.Run(t, func(cfg backend.Config) (backend.Backend, error) {
		cfg.Entries = 1
		return g.open(cfg)
	})
}

func FuzzScript(f *testing.F) { backendtest.Fuzz(f, need(f, full).open) }

// variants are the rungs that work here, and what they are on older kernels: the full one without packed buffers, the
// basic one without what came after 5.15.
func variants(t testing.TB) []*rung {
	var list []*rung
	for _, g := range []*rung{full, basic} {
		can, err := g.probe()
		if !testenv.Has(t, ring.Name+":"+g.name, err) {
			continue
		}
		list = append(list, g)
		old := abilities{flags: can.flags &^ ring.SetupNoSQArray}
		if g == basic {
			old.flags = common
		}
		list = append(list, &rung{name: g.name + "_old", multishot: g.multishot, probed: probeOnce{done: true, can: old}})
	}
	return list
}

// need skips a test where io_uring is denied.
func need(t testing.TB, g *rung) *rung {
	_, err := g.probe()
	testenv.Need(t, ring.Name+":"+g.name, err)
	return g
}
