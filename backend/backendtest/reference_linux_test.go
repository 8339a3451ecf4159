package backendtest

import (
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
	"weak"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// reference is a backend on poll(2), as plain as can be, to test the suite with: in its right form it passes, and with
// any of its faults it must not.
type reference struct {
	fault   string
	cfg     backend.Config
	begin   time.Time
	junk    []any
	scratch [1 << 14]byte
	dry     bool
	ticks   int
	slots   []refOp
	free    []uint32
	flying  int
	active  []uint32 // slots in flight, in the order of submission
	out     []refOut
	pool    [][]byte
	unlent  []uint32 // indexes into pool
	wakefd  [2]int
	woken   atomic.Bool
	closed  atomic.Bool
	waking  sync.Mutex // not to write to what Close has closed
	pfds    []unix.PollFd
	moved   bool
	blocked map[refQueue]bool
	budget  int // operations that this Poll tries yet
	stats   backend.Stats
}

type refQueue struct{ fd, side int }

type refOut struct {
	backend.Completion
	accepted bool
}

type refOp struct {
	kept     *backend.Op
	weak     weak.Pointer[byte]
	size     int
	op       backend.Op
	gen      uint32
	live     bool
	begun    bool // a Connect is under way
	canceled bool
	done     int // bytes sent
}

func openReference(fault string) Open {
	return func(cfg backend.Config) (backend.Backend, error) {
		if cfg.BufferSize == 0 {
			cfg.BufferSize = 65536
		}
		if cfg.BufferCount == 0 {
			cfg.BufferCount = 64
		}
		if cfg.MaxOps == 0 {
			cfg.MaxOps = 1 << 20
		}
		r := &reference{fault: fault, cfg: cfg, begin: time.Now(), blocked: map[refQueue]bool{}}
		p, err := pipe()
		if err != nil {
			return nil, err
		}
		r.wakefd = p
		if fault == "leaks a goroutine" {
			go func() { time.Sleep(10 * time.Second) }()
		}
		for i := range cfg.BufferCount {
			r.pool = append(r.pool, make([]byte, cfg.BufferSize))
			r.unlent = append(r.unlent, uint32(i))
		}
		return r, nil
	}
}

func (r *reference) is(fault string) bool { return r.fault == fault }

func (r *reference) Start() error { return nil }

func (r *reference) Submit(op *backend.Op) backend.Token {
	r.stats.Submitted++
	var slot uint32
	if n := len(r.free); n > 0 {
		slot, r.free = r.free[n-1], r.free[:n-1]
	} else {
		slot = uint32(len(r.slots))
		r.slots = append(r.slots, refOp{})
	}
	o := &r.slots[slot]
	if !r.is("one generation") || o.gen == 0 {
		o.gen++
	}
	*o = refOp{op: *op, gen: o.gen, live: true}
	if r.is("keeps the pointer") {
		o.kept = op
	}
	if r.is("keeps buffers") {
		r.junk = append(r.junk, op.Buf)
	}
	if r.is("allocates") {
		r.junk = []any{new(refOp)}
	}
	if r.is("forgets buffers") && op.Kind == backend.Recv && op.Buf != nil {
		o.weak, o.size, o.op.Buf = weak.Make(&op.Buf[0]), len(op.Buf), nil
	}
	if r.is("calls sinks") && op.Sink != nil {
		op.Sink.Complete(&backend.Completion{})
	}
	if op.Bufs != nil {
		// One list that can be cut as it is sent.
		var all []byte
		for i, b := range op.Bufs {
			if i < 1024 || !r.is("gathers 1024") {
				all = append(all, b...)
			}
		}
		o.op.Buf, o.op.Bufs = all, nil
	}
	r.flying++
	r.active = append(r.active, slot)
	t := backend.MakeToken(slot, o.gen)
	switch err := op.Check(); {
	case err != nil && !(r.is("unchecked") && op.Kind == backend.Send):
		r.finish(slot, failure(op, err))
	case op.Lease != 0:
		r.finish(slot, failure(op, backend.ErrNoPipe))
	case r.flying > r.cfg.MaxOps && !r.is("unbounded") && (op.Kind != backend.Close || r.is("no room to close")):
		r.finish(slot, failure(op, backend.ErrTooManyOps))
	case r.closing(slot) && !r.is("goes on after close"):
		r.finish(slot, failure(op, backend.ErrClosed))
	}
	return t
}

func failure(op *backend.Op, err error) backend.Completion {
	if op.Kind == backend.Accept {
		return backend.Completion{N: -1, Err: err}
	}
	return backend.Completion{Err: err}
}

// closing tells whether an operation before the one in slot closes its descriptor.
func (r *reference) closing(slot uint32) bool {
	for _, s := range r.active {
		if o := &r.slots[s]; s != slot && o.live && o.op.Kind == backend.Close && o.op.FD == r.slots[slot].op.FD {
			return true
		}
	}
	return false
}

func (r *reference) emit(slot uint32, c backend.Completion) {
	o := &r.slots[slot]
	c.Token, c.Sink = backend.MakeToken(slot, o.gen), o.op.Sink
	r.out = append(r.out, refOut{c, c.Err == nil && o.op.Kind == backend.Accept})
	r.moved = true
}

func (r *reference) finish(slot uint32, c backend.Completion) {
	o := &r.slots[slot]
	r.emit(slot, c)
	if r.is("two finals") && o.op.Kind == backend.Recv {
		r.emit(slot, c)
	}
	o.live = false
	o.op = backend.Op{}
	if !r.is("counts up only") {
		r.flying--
	}
	r.free = append(r.free, slot)
}

func (r *reference) Cancel(t backend.Token) {
	if r.is("lost cancel") && r.flying > 100 {
		return
	}
	if s := t.Slot(); int(s) < len(r.slots) && r.slots[s].live && (r.slots[s].gen == t.Generation() || r.is("stale cancel")) {
		r.slots[s].canceled = true
		if r.is("cancel eats") && r.slots[s].op.Kind == backend.Recv {
			unix.Read(r.slots[s].op.FD, make([]byte, 5))
		}
		if r.is("cancel accepts") && r.slots[s].op.Kind == backend.Accept {
			unix.Poll([]unix.PollFd{{Fd: int32(r.slots[s].op.FD), Events: unix.POLLIN}}, 100)
			if fd, err := acceptOne(r.slots[s].op.FD); err == nil {
				unix.Close(fd)
			}
		}
	}
}

func (r *reference) Release(l backend.Lease) {
	if l != 0 {
		r.unlent = append(r.unlent, uint32(l)-1)
	}
}

// Fetch has nothing: Splice lends memory here.
func (r *reference) Fetch(backend.Lease, []byte) int { return 0 }

func (r *reference) Wake() {
	if !r.is("wakes whoever is there") {
		r.waking.Lock()
		defer r.waking.Unlock()
	}
	if r.is("deaf") || r.closed.Load() && !r.is("wakes after close") {
		return
	}
	if !r.woken.Swap(true) || r.is("wakes one by one") || r.closed.Load() {
		unix.Write(r.wakefd[1], []byte{1})
	}
}

func (r *reference) Now() time.Duration {
	if r.is("clock goes back") {
		r.ticks++
		return time.Since(r.begin) - time.Duration(r.ticks%2)*time.Millisecond
	}
	return time.Since(r.begin)
}

func (r *reference) Caps() backend.Caps {
	if r.is("boasts") {
		return backend.Caps{Name: "reference", Batch: 64, BufferSize: 1 << 20, BufferCount: 1 << 10}
	}
	return backend.Caps{Name: "reference", Batch: 64, BufferSize: r.cfg.BufferSize, BufferCount: r.cfg.BufferCount}
}

func (r *reference) Stats() backend.Stats {
	if r.is("does not count") {
		return backend.Stats{}
	}
	return r.stats
}

func (r *reference) Poll(dst []backend.Completion, until time.Duration) (int, error) {
	r.stats.Polls++
	if r.is("needs room") && len(dst) == 0 {
		return 0, nil
	}
	r.budget = math.MaxInt
	if r.is("one batch") {
		r.budget = 64
	}
	for {
		r.moved = true
		for r.moved && len(r.out) < 4096 {
			r.moved = false
			r.step()
		}
		woken := r.woken.Load()
		if woken {
			r.woken.Store(false)
			var p [8]byte
			if !r.is("wakes one by one") {
				unix.Read(r.wakefd[0], p[:])
			}
			if r.is("forgets wakes") {
				woken = false
			}
			if r.is("wakes one by one") {
				if n, _ := unix.Read(r.wakefd[0], p[:1]); n == 1 {
					r.woken.Store(true)
				}
			}
		}
		now := r.Now()
		if len(r.out) > 0 || woken || now >= until {
			break
		}
		if r.is("returns early") {
			break
		}
		r.wait(now, until)
		if r.is("returns late") {
			time.Sleep(limit)
		}
	}
	n := 0
	for ; n < len(dst) && n < len(r.out); n++ {
		dst[n] = r.out[n].Completion
	}
	if r.is("drops what does not fit") && n < len(r.out) {
		r.out = r.out[:n]
	}
	r.out = r.out[:copy(r.out, r.out[n:])]
	r.stats.Completions += uint64(n)
	return n, nil
}

func (r *reference) wait(now, until time.Duration) {
	r.pfds = append(r.pfds[:0], unix.PollFd{Fd: int32(r.wakefd[0]), Events: unix.POLLIN})
	for _, s := range r.active {
		o := &r.slots[s]
		if !o.live {
			continue
		}
		p := unix.PollFd{Fd: int32(o.op.FD), Events: unix.POLLIN}
		switch o.op.Kind {
		case backend.Connect:
			if p.Events = unix.POLLOUT; !o.begun {
				until = min(until, now+time.Millisecond)
				continue
			}
		case backend.Send, backend.SendFile, backend.Write:
			p.Events = unix.POLLOUT
		case backend.Poll:
			p.Events = o.op.Events
		case backend.Recv, backend.Splice:
			if o.op.Buf == nil && len(r.unlent) == 0 {
				continue
			}
		}
		r.pfds = append(r.pfds, p)
	}
	ms := -1
	if until != backend.Forever {
		ms = max(0, int((until-now+time.Millisecond-1)/time.Millisecond))
	}
	r.stats.Waits++
	r.stats.Syscalls++
	unix.Poll(r.pfds, ms)
}

// step tries every operation whose turn it is.
func (r *reference) step() {
	blocked := r.blocked
	clear(blocked)
	live := r.active[:0]
	for _, s := range r.active {
		if r.slots[s].live {
			live = append(live, s)
		}
	}
	r.active = live
	if r.is("last in first out") {
		slices.Reverse(r.active)
		defer slices.Reverse(r.active)
	}
	for _, s := range r.active {
		o := &r.slots[s]
		if !o.live {
			continue
		}
		q := refQueue{o.op.FD, 0}
		switch o.op.Kind {
		case backend.Connect, backend.Send, backend.SendFile, backend.Write:
			q.side = 1
		case backend.Poll:
			q.side = 2 + int(s)
			if r.is("polls in line") {
				q.side = 0
			}
		case backend.Close:
			q.side = -1
			r.close(s)
			continue
		}
		if r.is("one direction") && q.side == 1 {
			q.side = 0
		}
		gen := o.gen
		if r.is("cancel first") && r.endCanceled(s) {
			continue
		}
		if r.budget--; r.budget < 0 {
			return
		}
		if !blocked[q] {
			r.try(s)
		}
		if o.live && o.gen == gen && !r.endCanceled(s) {
			blocked[q] = true
		}
	}
}

// endCanceled ends the operation if it was canceled, and reports whether it was.
func (r *reference) endCanceled(s uint32) bool {
	o := &r.slots[s]
	if !o.canceled {
		return false
	}
	c := backend.Completion{N: o.done, Err: backend.ErrCanceled}
	if o.op.Kind == backend.Accept {
		c.N = -1
	} else if r.is("forgets what was sent") {
		c.N = 0
	}
	r.finish(s, c)
	return true
}

func (r *reference) close(s uint32) {
	fd := r.slots[s].op.FD
	if r.is("no fin") {
		dup, _ := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		r.junk = append(r.junk, dup)
	}
	if r.is("closes first") {
		defer func() { r.out[len(r.out)-1], r.out[0] = r.out[0], r.out[len(r.out)-1] }()
	}
	for _, a := range r.active {
		o := &r.slots[a]
		if !o.live || a == s || o.op.FD != fd || o.op.Kind == backend.Close || r.is("close leaves the rest") {
			continue
		}
		c := backend.Completion{N: o.done, Err: backend.ErrClosed}
		if o.op.Kind == backend.Accept {
			c.N = -1
		}
		r.finish(a, c)
	}
	if r.is("does not close") {
		r.finish(s, backend.Completion{})
		return
	}
	r.finish(s, backend.Completion{Err: errOrNil(unix.Close(fd))})
}

func errOrNil(err error) error {
	if e, ok := err.(syscall.Errno); ok && e != 0 {
		return e
	}
	return nil
}

// try does what can be done of the operation in s.
func (r *reference) try(s uint32) {
	o := &r.slots[s]
	if o.kept != nil {
		o.op = *o.kept
	}
	op := &o.op
	var c backend.Completion
	for {
		n, err := 0, error(nil)
		r.stats.Syscalls++
		switch op.Kind {
		case backend.Accept:
			n, err = acceptRaw(op.FD, r.is("accepts blocking"))
			if err == unix.EMFILE && r.is("sits out EMFILE") {
				return
			}
			if err == nil && op.Multishot {
				r.emit(s, backend.Completion{N: n, More: true})
				continue
			}
			c.N = n
		case backend.Connect:
			if !o.begun {
				_, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(op.FD), uintptr(unsafe.Pointer(&op.Addr[0])), uintptr(len(op.Addr)))
				err = errOrNil(e)
				o.begun = true
				if err == unix.EAGAIN { // a unix listener's queue is full, of which poll(2) knows nothing
					o.begun, err = false, nil
					return
				}
				if err == unix.EINPROGRESS && r.is("connects at once") {
					err = nil
				}
			} else {
				err = connected(op.FD)
			}
			n = 0
		case backend.Recv, backend.Splice, backend.Read:
			if op.Kind != backend.Read && notSocket(op.FD) {
				err = unix.ENOTSOCK
				break
			}
			if r.is("end first") {
				p := []unix.PollFd{{Fd: int32(op.FD), Events: unix.POLLRDHUP}}
				if n, _ := unix.Poll(p, 0); n == 1 {
					err = io.EOF
					break
				}
			}
			if o.size > 0 && op.Buf == nil {
				p := o.weak.Value()
				if p == nil {
					return
				}
				n, err = unix.Read(op.FD, unsafe.Slice(p, o.size))
			} else if op.Buf == nil {
				r.dry = r.dry || len(r.unlent) == 0
				if len(r.unlent) == 0 || r.dry && r.is("stays dry") {
					r.stats.Starved++
					return
				}
				i := r.unlent[len(r.unlent)-1]
				n, err = unix.Read(op.FD, r.pool[i])
				if n > 0 && err == nil {
					r.unlent = r.unlent[:len(r.unlent)-1]
					c := backend.Completion{N: n, Data: r.pool[i][:n:n], Lease: backend.Lease(i + 1), More: op.Multishot}
					if r.is("shares buffers") {
						r.unlent = append(r.unlent, i)
					}
					if op.Multishot && !r.is("one shot") {
						r.emit(s, c)
						continue
					}
					c.More = false
					r.finish(s, c)
					return
				}
			} else {
				n, err = unix.Read(op.FD, op.Buf)
			}
			if n == 0 && err == nil {
				err = io.EOF
			}
			c.N = max(n, 0)
		case backend.Send, backend.Write:
			buf := op.Buf[o.done:]
			if op.Kind == backend.Send && r.is("sigpipe") {
				n, err = unix.SendmsgN(op.FD, buf, nil, nil, 0)
			} else if op.Kind == backend.Send {
				n, err = unix.SendmsgN(op.FD, buf, nil, nil, unix.MSG_NOSIGNAL)
			} else {
				n, err = unix.Write(op.FD, buf)
			}
			if n > 0 {
				o.done += n
			}
			c.N = o.done
			if err == nil && o.done < len(op.Buf) && !r.is("short send") {
				continue
			}
		case backend.SendFile:
			buf := r.scratch[:min(op.File.Size-o.done, len(r.scratch))]
			offset := op.File.Offset + int64(o.done)
			if r.is("sends the start of the file") {
				offset = int64(o.done)
			}
			if n, err = unix.Pread(op.File.FD, buf, offset); n == 0 && err == nil && len(buf) > 0 && !r.is("no end of the file") {
				err = io.EOF
			}
			if err == nil {
				n, err = unix.SendmsgN(op.FD, buf[:n], nil, nil, unix.MSG_NOSIGNAL)
				o.done += max(n, 0)
			}
			c.N = o.done
			if err == nil && n > 0 && o.done < op.File.Size {
				continue
			}
		case backend.Poll:
			p := []unix.PollFd{{Fd: int32(op.FD), Events: op.Events}}
			n, err = unix.Poll(p, 0)
			c.N = int(p[0].Revents)
			if err == nil && n == 0 {
				return
			}
			if c.N&unix.POLLNVAL != 0 {
				c.N, err = 0, unix.EBADF
			}
		}
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN && !r.is("eagain") || err == unix.EINPROGRESS || err == unix.EALREADY {
			return
		}
		if err == unix.ECONNREFUSED && r.is("words of its own") {
			err = unix.ECONNRESET
		}
		c.Err = err
		if err != nil && op.Kind == backend.Accept {
			c.N = -1
		}
		r.finish(s, c)
		return
	}
}

// acceptRaw is accept4(2) without the address, which would be allocated.
func acceptRaw(fd int, blocking bool) (int, error) {
	flags := unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if blocking {
		flags = unix.SOCK_CLOEXEC
	}
	n, _, e := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, uintptr(flags), 0, 0)
	return int(n), errOrNil(e)
}

func notSocket(fd int) bool {
	_, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == unix.ENOTSOCK
}

func connected(fd int) error {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if n, _ := unix.Poll(p, 0); n == 0 {
		return unix.EINPROGRESS
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}

func (r *reference) Close() error {
	r.waking.Lock()
	defer r.waking.Unlock()
	if r.closed.Swap(true) && !r.is("closes twice") {
		return nil
	}
	for _, c := range r.out {
		if c.accepted && !r.is("leaks accepted") {
			unix.Close(c.N)
		}
	}
	for _, s := range r.active {
		if r.slots[s].live && r.is("closes what is not its own") {
			unix.Close(r.slots[s].op.FD)
		}
	}
	if r.is("no fin") {
		for _, fd := range r.junk {
			unix.Close(fd.(int))
		}
	}
	unix.Close(r.wakefd[0])
	if !r.is("leaks a descriptor") {
		unix.Close(r.wakefd[1])
	}
	return nil
}
