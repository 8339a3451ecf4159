//go:build linux

package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Map gives n bytes of zeroed memory that neither moves nor is collected, and takes no space before it is used.
func Map(n int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, failed("mmap", err.(unix.Errno))
	}
	return mem, nil
}

// Unmap frees what Map gave.
func Unmap(mem []byte) { unix.Munmap(mem) }

// Arena is memory for what the kernel reads while it takes entries: addresses, headers, vectors. It is handed out piece
// by piece, and all of it is free again once the kernel has taken every entry.
type Arena struct {
	mem  []byte
	used int
}

// NewArena makes an arena of n bytes.
func NewArena(n int) (Arena, error) {
	mem, err := Map(n)
	return Arena{mem: mem}, err
}

// Alloc gives n bytes, aligned for any type; nil if there is no room. They hold what was there before.
func (a *Arena) Alloc(n int) unsafe.Pointer {
	n = (n + 15) &^ 15
	if len(a.mem)-a.used < n {
		return nil
	}
	p := unsafe.Pointer(&a.mem[a.used])
	a.used += n
	return p
}

// Reset takes everything back.
func (a *Arena) Reset() { a.used = 0 }

// Free unmaps the arena.
func (a *Arena) Free() {
	if a.mem != nil {
		Unmap(a.mem)
		a.mem = nil
	}
}
