package zerocopy

import (
	"syscall"

	"github.com/eyewall/eyewall/backend/internal/loans"
	"golang.org/x/sys/unix"
)

// Pipes has the pipes of one backend, each by a number from 1 on, and lends them under the numbers of loans. The zero
// Pipes has none yet, and makes them when they are needed. It belongs to the backend's thread.
type Pipes struct {
	pipes []pipe
	spare []uint16 // numbers of pipes that are open, empty and not lent, the one used last at the end
	shut  []uint16 // numbers of pipes that are closed
	loans loans.Table
}

type pipe struct {
	in, out int32
	left    int // bytes in it
	open    bool
}

// Take moves what has come on the socket fd into a pipe and lends that: n bytes, or 0 at the end of the stream, where
// nothing is lent. ok is false where no pipe is to be had, the socket is of a kind that knows none, or an urgent byte is
// in the way: there splice(2) stops, and would for ever, as if nothing were behind it; recv(2) leaves that byte out.
func (p *Pipes) Take(fd int32) (loan uint32, n int, ok bool, errno syscall.Errno) {
	number := p.open()
	if number == 0 {
		return 0, 0, false, 0
	}
	x := &p.pipes[number-1]
	n, errno = splice(fd, x.in, size)
	if n <= 0 || errno != 0 {
		p.spare = append(p.spare, number)
		stuck := errno == unix.EINVAL || (errno == 0 || errno == unix.EAGAIN) && atMark(fd)
		return 0, 0, !stuck, errno
	}
	x.left = n
	return p.loans.Lend(uint32(number)), n, true, 0
}

// Lends reports whether there is a loan of that number.
func (p *Pipes) Lends(loan uint32) bool {
	_, ok := p.loans.Find(loan)
	return ok
}

// lent finds the pipe of a loan, which there is.
func (p *Pipes) lent(loan uint32) *pipe {
	number, _ := p.loans.Find(loan)
	return &p.pipes[number-1]
}

// Left is how many bytes are in a pipe that is on loan.
func (p *Pipes) Left(loan uint32) int { return p.lent(loan).left }

// Send moves bytes of a pipe that is on loan to the socket fd, as many as there is room for.
func (p *Pipes) Send(loan uint32, fd int32) (n int, errno syscall.Errno) {
	x := p.lent(loan)
	n, errno = splice(x.out, fd, x.left)
	if n > 0 {
		x.left -= n
	}
	return max(n, 0), errno
}

// Fetch moves bytes of a pipe that is on loan to b.
func (p *Pipes) Fetch(loan uint32, b []byte) int {
	x := p.lent(loan)
	moved := 0
	for moved < len(b) && x.left > 0 {
		n, err := unix.Read(int(x.out), b[moved:])
		switch {
		case err == unix.EINTR:
		case n <= 0: // it cannot be: the bytes are there
			return moved
		default:
			moved += n
			x.left -= n
		}
	}
	return moved
}

// Release ends a loan. What is left in the pipe is dropped. After Close it does nothing.
func (p *Pipes) Release(loan uint32) {
	n, ok := p.loans.End(loan)
	if !ok {
		return
	}
	number := uint16(n)
	x := &p.pipes[number-1]
	if x.left > 0 || len(p.spare) >= kept {
		x.close()
		p.shut = append(p.shut, number)
		return
	}
	p.spare = append(p.spare, number)
}

// Close closes all of them.
func (p *Pipes) Close() {
	for i := range p.pipes {
		p.pipes[i].close()
	}
	*p = Pipes{}
	p.loans.Close()
}

// open takes a pipe that is not lent, or 0.
func (p *Pipes) open() (number uint16) {
	if last := len(p.spare) - 1; last >= 0 {
		number = p.spare[last]
		p.spare = p.spare[:last]
		return number
	}
	if len(p.shut) == 0 && len(p.pipes) == most {
		return 0
	}
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return 0
	}
	// It may be refused, where a user has many pipes. Then it holds less.
	unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, size)
	x := pipe{out: int32(ends[0]), in: int32(ends[1]), open: true}
	if last := len(p.shut) - 1; last >= 0 {
		number = p.shut[last]
		p.shut = p.shut[:last]
		p.pipes[number-1] = x
		return number
	}
	p.pipes = append(p.pipes, x)
	return uint16(len(p.pipes))
}

func (x *pipe) close() {
	if x.open {
		unix.Close(int(x.out))
		unix.Close(int(x.in))
	}
	*x = pipe{}
}

// splice moves up to n bytes between a pipe and a socket, both of which do not block, so that it returns at once.
func splice(from, to int32, n int) (int, syscall.Errno) {
	moved, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK)
	return int(moved), errno
}

// atMark tells whether the byte that comes next on the socket fd is urgent. Other descriptors have none.
func atMark(fd int32) bool {
	at, err := unix.IoctlGetInt(int(fd), unix.SIOCATMARK)
	return err == nil && at != 0
}
