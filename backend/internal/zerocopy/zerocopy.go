// Package zerocopy is what moves bytes between descriptors without a copy: pipes in which a backend lends what is only to
// be sent on, as splice(2) moves it there from one socket and from there to another, and sendfile(2).
package zerocopy

const (
	// size is how many bytes a pipe is to hold. The more it takes at a time, the fewer calls there are; the system may
	// allow less.
	size = 512 << 10
	// most bounds the pipes of a backend. Beyond it bytes are lent in memory.
	most = 64
	// kept is how many of those that are not lent stay open.
	kept = 8

	// MaxFile bounds what one call sends of a file, so that others have their turn.
	MaxFile = 256 << 10
)
