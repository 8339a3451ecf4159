//go:build linux

package epoll

import (
	"testing"

	"github.com/eyewall/eyewall/backend/backendtest"
)

func TestBackend(t *testing.T) { backendtest.Run(t, Open) }

func FuzzScript(f *testing.F) { backendtest.Fuzz(f, Open) }
