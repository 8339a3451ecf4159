//go:build solaris || illumos

package sock

import "unsafe"

func setFamily(sa unsafe.Pointer, family, _ int) { *(*uint16)(sa) = uint16(family) }
