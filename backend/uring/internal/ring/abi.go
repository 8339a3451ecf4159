//go:build linux

package ring

// What the kernel's header linux/io_uring.h fixes, as far as it is used here. Names are the header's without IORING_.

// Operations.
const (
	OpNop            = 0
	OpPollAdd        = 6
	OpSendmsg        = 9
	OpTimeout        = 11
	OpAccept         = 13
	OpAsyncCancel    = 14
	OpConnect        = 16
	OpRead           = 22
	OpWrite          = 23
	OpSend           = 26
	OpRecv           = 27
	OpProvideBuffers = 31
)

// Flags of an entry (SQE.Flags).
const (
	sqeBufferSelect   = 1 << 5
	sqeCQESkipSuccess = 1 << 6
)

// Flags of a kind of operation (SQE.Ioprio, or SQE.Len for POLL_ADD).
const (
	recvMultishot   = 1 << 1
	acceptMultishot = 1 << 0
	pollAddMulti    = 1 << 0
)

// Flags of io_uring_setup.
const (
	SetupCQSize       = 1 << 3
	SetupClamp        = 1 << 4
	SetupDisabled     = 1 << 6
	SetupSubmitAll    = 1 << 7
	SetupCoopTaskrun  = 1 << 8
	SetupTaskrunFlag  = 1 << 9
	SetupSingleIssuer = 1 << 12
	SetupDeferTaskrun = 1 << 13
	SetupNoSQArray    = 1 << 16
)

// Features that io_uring_setup reports.
const (
	FeatSingleMmap   = 1 << 0
	FeatNoDrop       = 1 << 1
	FeatSubmitStable = 1 << 2
	FeatRWCurPos     = 1 << 3
	FeatFastPoll     = 1 << 5
	FeatExtArg       = 1 << 8
	FeatCQESkip      = 1 << 11
	FeatNoIowait     = 1 << 17
)

// Flags of a completion (CQE.Flags).
const (
	CQEBuffer   = 1 << 0 // a buffer was used; its id is in the upper half
	CQEMore     = 1 << 1 // the request goes on
	CQENonEmpty = 1 << 2 // the socket had more

	CQEBufferShift = 16
)

// Flags that the kernel sets in the submission queue.
const (
	sqCQOverflow = 1 << 1
	sqTaskrun    = 1 << 2
)

// Flags of io_uring_enter.
const (
	enterGetEvents      = 1 << 0
	enterExtArg         = 1 << 3
	enterRegisteredRing = 1 << 4
	enterNoIowait       = 1 << 7 // with FeatNoIowait
)

// Commands of io_uring_register.
const (
	registerProbe       = 8
	registerEnableRings = 12
	registerRingFDs     = 20
	unregisterRingFDs   = 21
	registerPbufRing    = 22
	unregisterPbufRing  = 23
)

// pbufRingInc is a flag of registerPbufRing: a buffer is used up bit by bit.
const pbufRingInc = 1 << 1

// SQE is a submission queue entry. The Prep methods fill a zeroed one.
type SQE struct {
	Opcode   uint8
	Flags    uint8
	Ioprio   uint16
	FD       int32
	Off      uint64
	Addr     uint64
	Len      uint32
	OpFlags  uint32
	UserData uint64
	BufGroup uint16
	_        uint16 // personality
	_        uint32 // file_index
	_        [2]uint64
}

// CQE is a completion queue entry.
type CQE struct {
	UserData uint64
	Res      int32
	Flags    uint32
}

// Msghdr is struct msghdr and Iovec is struct iovec, with addresses that Go's collector does not take for pointers: they
// lie in an Arena, where what an earlier use left behind may point anywhere.
type Msghdr struct {
	Name       uintptr
	Namelen    uint32
	Iov        uintptr
	Iovlen     uintptr
	Control    uintptr
	Controllen uintptr
	Flags      int32
}

// Iovec is one piece of what a Msghdr gathers.
type Iovec struct{ Base, Len uintptr }

type params struct {
	sqEntries, cqEntries, flags uint32
	sqThreadCPU, sqThreadIdle   uint32
	features, wqFD              uint32
	_                           [3]uint32
	sqOff                       sqOffsets
	cqOff                       cqOffsets
}

type sqOffsets struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

type cqOffsets struct {
	head, tail, mask, entries, overflow, cqes, flags, _ uint32
	_                                                   uint64
}

// rsrcUpdate is the argument of registerRingFDs.
type rsrcUpdate struct {
	offset uint32
	_      uint32
	data   uint64
}

// bufReg is the argument of registerPbufRing.
type bufReg struct {
	addr    uint64
	entries uint32
	group   uint16
	flags   uint16
	_       [3]uint64
}

// getEventsArg is the extended argument of io_uring_enter.
type getEventsArg struct {
	sigmask   uint64
	sigmaskSz uint32
	_         uint32
	ts        uint64
}
