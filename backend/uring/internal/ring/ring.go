//go:build linux

// Package ring is an io_uring as the kernel gives it: set-up, the two queues in shared memory, the system calls. It keeps
// no requests and decides nothing; package uring does.
//
// There are two of it behind the same methods: our own on raw system calls (own.go), and one that uses giouring's
// ring where the build tag giouring asks for it (giouring.go). What both share stands in the other files.
//
// A Ring belongs to one thread, the one that called Enable.
package ring

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Config is how a ring is to be.
type Config struct {
	Entries     uint32 // of the submission queue; a power of two
	Completions uint32 // of the completion queue; a power of two
	Flags       uint32 // Setup flags; CQSize and Disabled are added
}

// Enable lets the ring take requests, from the calling thread if it is a single issuer's.
func (r *Ring) Enable() error {
	_, err := r.register(registerEnableRings, nil, 0)
	return err
}

// Supports tells for each of ops whether the kernel knows it. The answer is the kernel's own, not a version's.
func (r *Ring) Supports(ops ...uint8) (bool, error) {
	const known = 64
	var probe struct {
		lastOp, opsLen uint8
		_              [14]byte
		ops            [known]struct {
			op, _ uint8
			flags uint16
			_     uint32
		}
	}
	if _, err := r.register(registerProbe, unsafe.Pointer(&probe), known); err != nil {
		return false, err
	}
	for _, op := range ops {
		if op >= known || op > probe.lastOp || probe.ops[op].flags&1 == 0 {
			return false, nil
		}
	}
	return true, nil
}

// RegisterFD saves each Submit and Wait of the calling thread a look-up of the ring's descriptor. A thread has room for
// 16 of them; without one the ring works all the same.
func (r *Ring) RegisterFD() {
	u := rsrcUpdate{offset: ^uint32(0), data: uint64(r.fd)}
	if n, err := r.register(registerRingFDs, unsafe.Pointer(&u), 1); err == nil && n == 1 {
		r.enterFD, r.enterFlags = uintptr(u.offset), enterRegisteredRing
	}
}

// UnregisterFD undoes RegisterFD, from the same thread.
func (r *Ring) UnregisterFD() {
	if r.enterFlags != 0 {
		u := rsrcUpdate{offset: uint32(r.enterFD)}
		r.register(unregisterRingFDs, unsafe.Pointer(&u), 1)
		r.enterFD, r.enterFlags = uintptr(r.fd), 0
	}
}

// Features are those that the kernel reported.
func (r *Ring) Features() uint32 { return r.features }

// Submit hands the entries over and lets the kernel report what is ready, without waiting. It does not tell Go's
// scheduler of the call, which is what makes it cheap, so that it must not wait. Entries that the kernel did not take
// stay Pending.
func (r *Ring) Submit() unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, r.enterFD, uintptr(r.flush()), 0,
		uintptr(enterGetEvents|r.enterFlags), 0, 0)
	r.taken()
	return errno
}

// longestWait bounds the time that the kernel is given. It adds that time to its clock, and a sum that overflows has passed.
const longestWait = 24 * time.Hour

// Wait does as Submit does, then waits for a completion: no longer than d, or than a day, unless d is negative.
func (r *Ring) Wait(d time.Duration) unix.Errno {
	arg := r.wait
	arg.arg.ts = 0
	if d >= 0 {
		d = min(d, longestWait)
		arg.limit = timespec{int64(d / time.Second), int64(d % time.Second)}
		arg.arg.ts = address(unsafe.Pointer(&arg.limit))
	}
	flags := enterGetEvents | enterExtArg | r.enterFlags
	if r.features&FeatNoIowait != 0 {
		flags |= enterNoIowait // a server that waits for its clients is idle; it does not wait for a disk
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, r.enterFD, uintptr(r.flush()), 1,
		uintptr(flags), uintptr(unsafe.Pointer(&arg.arg)), unsafe.Sizeof(arg.arg))
	r.taken()
	return errno
}

// waitArg is the memory that the kernel reads for Wait and PrepMark. It lies in mapped memory: a stack may move.
type waitArg struct {
	arg   getEventsArg
	limit timespec
	zero  timespec
}

// timespec is a __kernel_timespec, which has 64 bits on every machine.
type timespec struct{ sec, nsec int64 }

// PrepMark fills e with a request that completes behind all that the kernel has to report when it takes e. It is a timer
// of no length: as it fires at once, but by an interrupt, its completion queues up behind the others.
func (r *Ring) PrepMark(e *SQE) {
	e.Opcode, e.FD, e.Addr, e.Len = OpTimeout, -1, address(unsafe.Pointer(&r.wait.zero)), 1
}

func (r *Ring) register(command uint32, arg unsafe.Pointer, n int) (int, error) {
	got, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), uintptr(command), uintptr(arg), uintptr(n), 0, 0)
	return int(got), failed("io_uring_register", errno)
}
