//go:build linux

package ring

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The Prep methods fill a zeroed entry. A buffer, address or header that they are given lies in memory that does not
// move: the kernel reads an address or header before Submit returns, and a buffer until the request's completion.

// PrepAccept accepts one connection, or as many as come.
func (e *SQE) PrepAccept(fd int32, multishot bool) {
	e.Opcode, e.FD = OpAccept, fd
	e.OpFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	if multishot {
		e.Ioprio = acceptMultishot
	}
}

// PrepConnect connects to the socket address of n bytes at addr.
func (e *SQE) PrepConnect(fd int32, addr unsafe.Pointer, n int) {
	e.Opcode, e.FD = OpConnect, fd
	e.Addr, e.Off = address(addr), uint64(n)
}

// PrepRecv receives into p.
func (e *SQE) PrepRecv(fd int32, p []byte) {
	e.Opcode, e.FD = OpRecv, fd
	e.setBuf(p)
}

// PrepRecvSelect receives up to n bytes into a buffer that the kernel picks from group.
func (e *SQE) PrepRecvSelect(fd int32, group uint16, n int) {
	e.Opcode, e.FD = OpRecv, fd
	e.Flags, e.BufGroup, e.Len = sqeBufferSelect, group, uint32(n)
}

// PrepRecvMultishot receives again and again, each time into a buffer that the kernel picks from group.
func (e *SQE) PrepRecvMultishot(fd int32, group uint16) {
	e.Opcode, e.FD, e.Ioprio = OpRecv, fd, recvMultishot
	e.Flags, e.BufGroup = sqeBufferSelect, group
}

// PrepSend sends p, or as much of it as there is room for. There is no MSG_WAITALL, with which the kernel would go on by
// itself: if an error then ends what was sent in part, the kernel reports that part, and the error is lost.
func (e *SQE) PrepSend(fd int32, p []byte) {
	e.Opcode, e.FD = OpSend, fd
	e.OpFlags = unix.MSG_NOSIGNAL
	e.setBuf(p)
}

// PrepSendmsg sends what the header gathers, as PrepSend does.
func (e *SQE) PrepSendmsg(fd int32, msg *Msghdr) {
	e.Opcode, e.FD = OpSendmsg, fd
	e.OpFlags = unix.MSG_NOSIGNAL
	e.Addr, e.Len = address(unsafe.Pointer(msg)), 1
}

// PrepRead reads into p at the descriptor's own position.
func (e *SQE) PrepRead(fd int32, p []byte) {
	e.Opcode, e.FD, e.Off = OpRead, fd, ^uint64(0)
	e.setBuf(p)
}

// PrepWrite writes p at the descriptor's own position.
func (e *SQE) PrepWrite(fd int32, p []byte) {
	e.Opcode, e.FD, e.Off = OpWrite, fd, ^uint64(0)
	e.setBuf(p)
}

// PrepPoll waits for one of events, once or, with multishot, at every wakeup.
func (e *SQE) PrepPoll(fd int32, events uint32, multishot bool) {
	e.Opcode, e.FD, e.OpFlags = OpPollAdd, fd, pollWord(events)
	if multishot {
		e.Len = pollAddMulti
	}
}

// PrepCancel cancels the request that was submitted with userData. A success is told by that request's own completion
// alone, where the kernel can leave this one's out.
func (e *SQE) PrepCancel(userData uint64, skip bool) {
	e.Opcode, e.FD, e.Addr = OpAsyncCancel, -1, userData
	if skip {
		e.Flags = sqeCQESkipSuccess
	}
}

// PrepProvide gives the kernel the buffer p with the id bid.
func (e *SQE) PrepProvide(p []byte, group, bid uint16, skip bool) {
	e.Opcode, e.FD, e.Off, e.BufGroup = OpProvideBuffers, 1, uint64(bid), group
	e.setBuf(p)
	if skip {
		e.Flags = sqeCQESkipSuccess
	}
}

// maxTransfer bounds one request: the kernel takes no more than 2 GiB less a page at a time.
const maxTransfer = 1 << 30

func (e *SQE) setBuf(p []byte) {
	e.Addr, e.Len = address(unsafe.Pointer(unsafe.SliceData(p))), uint32(min(len(p), maxTransfer))
}

func address(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }

// pollWord lays poll(2)'s events out as the kernel wants them: with the halves exchanged on big-endian machines.
func pollWord(events uint32) uint32 {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return bits.RotateLeft32(events, 16)
	}
	return events
}
