//go:build linux

// Package epoll is the backend on epoll: one registration for a descriptor's life, for both directions, edge-triggered.
// Importing it registers the driver "epoll".
package epoll

import (
	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/readiness"
)

func init() {
	backend.Register(backend.Driver{Name: "epoll", Rank: 20, Open: Open})
}

// Open opens the backend. Of cfg it heeds the buffers and MaxOps.
func Open(cfg backend.Config) (backend.Backend, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return readiness.New(p, readiness.Traits{Name: "epoll", Batch: maxEvents, Lasting: true}, cfg), nil
}
