//go:build !eyewall_portable

package readiness

import "github.com/eyewall/eyewall/backend/internal/zerocopy"

// canPipe reports whether there are pipes in which bytes are lent.
const canPipe = true

type pipes = zerocopy.Pipes
