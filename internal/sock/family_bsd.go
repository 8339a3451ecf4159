//go:build darwin || dragonfly || freebsd || netbsd || openbsd || aix

package sock

import "unsafe"

// setFamily fills the two bytes with which a BSD socket address begins.
func setFamily(sa unsafe.Pointer, family, size int) {
	head := (*[2]byte)(sa)
	head[0], head[1] = byte(size), byte(family)
}
