//go:build linux

package uring

import (
	"github.com/eyewall/eyewall/backend/internal/ops"
	"golang.org/x/sys/unix"
)

// accepted handles a result of an Accept's request. A descriptor is always reported, be o aborted or not.
func (p *proactor) accepted(o *ops.Op, res int32) {
	switch {
	case res < 0 && unix.Errno(-res) == unix.ECONNABORTED:
		p.resume(o) // that connection is gone; others are not
	case res < 0:
		p.failed(o, res)
	case !o.Multishot:
		p.table.Finish(o, int(res), nil, nil, 0)
	default:
		p.table.Emit(o, int(res), nil, 0)
		p.goOn(o)
	}
}
