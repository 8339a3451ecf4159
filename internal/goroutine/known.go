//go:build (amd64 || arm64) && gc && !purego

package goroutine

// Known tells whether this build can tell goroutines apart: with Go's own compiler, on amd64 and arm64, without the tag
// purego.
const Known = true

// ID is the address of the runtime's record of the calling goroutine. It names that goroutine for as long as it runs;
// afterwards the runtime may give it to another one. It is never zero.
func ID() uintptr

// Is reports whether *id is the calling goroutine's ID. The word is loaded in one piece: one goroutine may assign to it
// while others call Is. Those may see an ID that has been replaced, which is theirs no more than the new one.
func Is(id *uintptr) bool
