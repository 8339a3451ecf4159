//go:build unix && (!linux || eyewall_portable)

package readiness

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The tag eyewall_portable has Linux use these as well, so that they can be tested there.

// recvReads says that recvFD is read(2), which takes more than sockets: x/sys has no recv(2) that does not allocate an
// address.
const recvReads = true

func recvFD(fd int32, p []byte) (int, syscall.Errno) {
	n, err := unix.Read(int(fd), p)
	return n, errnoOf(err)
}

func sendFD(fd int32, p []byte) (int, syscall.Errno) {
	n, err := unix.SendmsgN(int(fd), p, nil, nil, sendFlags)
	return n, errnoOf(err)
}

// sendFileFD copies: the sendfile(2) of these systems, where there is one, is another on each.
func (b *Backend) sendFileFD(fd, file int32, offset int64, n int, _ *int64) (int, syscall.Errno) {
	p := b.pool.room() // for a moment, without lending it
	if p == nil {
		p = make([]byte, 4<<10)
	}
	n, err := unix.Pread(int(file), p[:min(n, len(p))], offset)
	if n <= 0 {
		return 0, errnoOf(err)
	}
	return sendFD(fd, p[:n])
}

// gather sends several pieces in one call.
type gather struct{ list [][]byte }

const maxVec = 16 // the least IOV_MAX there is

// send sends bufs but for the first bytes, which went before: how many went now, and is there more?
func (g *gather) send(fd int32, bufs [][]byte, skip int) (n int, more bool, e syscall.Errno) {
	total := 0
	for _, p := range bufs {
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		if len(g.list) == maxVec {
			more = true
			break
		}
		p = p[skip:]
		skip = 0
		total += len(p)
		g.list = append(g.list, p)
	}
	n, err := unix.SendmsgBuffers(int(fd), g.list, nil, nil, sendFlags)
	clear(g.list) // the memory is the caller's
	g.list = g.list[:0]
	return n, more || n < total, errnoOf(err)
}
