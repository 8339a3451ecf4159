//go:build unix

// Package selectpoll is the backend on select, for systems that have nothing better. Importing it registers the driver
// "select".
//
// A turn costs time for every descriptor up to the highest one that waits, whether it waits or not. On Linux any
// descriptor will do. Elsewhere the C library's FD_SETSIZE is the limit, and an operation that has to wait on a
// descriptor beyond it ends with a [LimitError]; an accepted connection costs two small allocations there.
//
// The build tag eyewall_portable has Linux use the code of the other systems, so that it can be tested.
package selectpoll

import (
	"strconv"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/backend/internal/readiness"
)

func init() {
	backend.Register(backend.Driver{Name: "select", Rank: 10, Open: Open})
}

// batch is more than epoll's, because a turn costs more.
const batch = 512

// Open opens the backend. Of cfg it heeds the buffers and MaxOps.
func Open(cfg backend.Config) (backend.Backend, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return readiness.New(p, readiness.Traits{Name: "select", Batch: batch}, cfg), nil
}

// LimitError says that select cannot wait for a descriptor.
type LimitError struct {
	FD    int
	Limit int // the system's FD_SETSIZE
}

func (e *LimitError) Error() string {
	return "select: descriptor " + strconv.Itoa(e.FD) + " is beyond this system's FD_SETSIZE, which is " + strconv.Itoa(e.Limit)
}
