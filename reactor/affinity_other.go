//go:build !linux

package reactor

import (
	"errors"
	"fmt"
	"runtime"
)

var errNoPinning = fmt.Errorf("reactor: WithCPUs: %w on %s", errors.ErrUnsupported, runtime.GOOS)

func (o *options) cpu(int) (int, error) {
	if o.pinned {
		return -1, errNoPinning
	}
	return -1, nil
}

func pin(int) (unpin func(), err error) { return nil, errNoPinning }
