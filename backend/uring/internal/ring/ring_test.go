//go:build linux

package ring

import (
	"errors"
	"math"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/eyewall/eyewall/internal/testenv"
	"golang.org/x/sys/unix"
)

const deferTaskrun = SetupSingleIssuer | SetupDeferTaskrun | SetupTaskrunFlag | SetupSubmitAll | SetupClamp

// open makes a ring that takes requests from the test's thread. It waits for memory that other tests' rings may hold.
func open(t testing.TB, c Config) *Ring {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, err := New(c)
	for range 1000 {
		if !errors.Is(err, unix.ENOMEM) {
			break
		}
		time.Sleep(10 * time.Millisecond)
		r, err = New(c)
	}
	testenv.Need(t, Name+":full", err)
	t.Cleanup(r.Close)
	if err := r.Enable(); err != nil {
		t.Fatal(err)
	}
	return r
}

func nop(r *Ring, data uint64) bool {
	e := r.SQE()
	if e != nil {
		e.Opcode, e.UserData = OpNop, data
	}
	return e != nil
}

func submit(t testing.TB, r *Ring) {
	t.Helper()
	if errno := r.Submit(); errno != 0 && errno != unix.EBUSY {
		t.Fatalf("Submit: %v", errno)
	}
}

// A struct that is not as the kernel has it would still work, now and then.
func TestSizes(t *testing.T) {
	for _, s := range []struct {
		name      string
		got, want uintptr
	}{
		{"SQE", unsafe.Sizeof(SQE{}), 64},
		{"CQE", unsafe.Sizeof(CQE{}), 16},
		{"params", unsafe.Sizeof(params{}), 120},
		{"sqOffsets", unsafe.Sizeof(sqOffsets{}), 40},
		{"bufEntry", unsafe.Sizeof(bufEntry{}), 16},
		{"bufReg", unsafe.Sizeof(bufReg{}), 40},
		{"rsrcUpdate", unsafe.Sizeof(rsrcUpdate{}), 16},
		{"getEventsArg", unsafe.Sizeof(getEventsArg{}), 24},
		{"Msghdr", unsafe.Sizeof(Msghdr{}), unsafe.Sizeof(unix.Msghdr{})},
		{"Iovec", unsafe.Sizeof(Iovec{}), unsafe.Sizeof(unix.Iovec{})},
		{"SQE.UserData at", unsafe.Offsetof(SQE{}.UserData), 32},
		{"SQE.BufGroup at", unsafe.Offsetof(SQE{}.BufGroup), 40},
	} {
		if s.got != s.want {
			t.Errorf("%s: %d bytes, want %d", s.name, s.got, s.want)
		}
	}
}

// Every index of both queues comes round many times, with every fill from one entry to all.
func TestWrapAround(t *testing.T) {
	r := open(t, Config{Entries: 8, Completions: 16, Flags: deferTaskrun})
	next, seen := uint64(0), uint64(0)
	for round := range 1000 {
		n := round%8 + 1
		for range n {
			if !nop(r, next) {
				t.Fatalf("full at %d of 8", r.Pending())
			}
			next++
		}
		if r.Pending() != n || r.Full() != (n == 8) {
			t.Fatalf("%d pending, full %v, want %d", r.Pending(), r.Full(), n)
		}
		submit(t, r)
		if r.Pending() != 0 {
			t.Fatalf("%d pending after Submit", r.Pending())
		}
		for c := r.Next(); c != nil; c = r.Next() {
			if c.UserData != seen || c.Res != 0 {
				t.Fatalf("completion %+v, want that of %d", *c, seen)
			}
			seen++
		}
		r.Seen()
	}
	if seen != next {
		t.Errorf("%d completions of %d requests", seen, next)
	}
}

func TestFull(t *testing.T) {
	r := open(t, Config{Entries: 4, Completions: 8, Flags: deferTaskrun})
	for i := range uint64(4) {
		nop(r, i)
	}
	if !r.Full() || r.SQE() != nil {
		t.Error("a fifth entry in a queue of four")
	}
	submit(t, r)
	if r.Full() || !nop(r, 9) {
		t.Error("no entry after Submit")
	}
}

// Completions beyond the queue's size stay with the kernel and come later, in order.
func TestOverflow(t *testing.T) {
	for name, flags := range map[string]uint32{"deferred": deferTaskrun, "plain": SetupClamp} {
		t.Run(name, func(t *testing.T) {
			r := open(t, Config{Entries: 8, Completions: 16, Flags: flags})
			const n = 200
			for sent := uint64(0); sent < n; {
				for sent < n && nop(r, sent) {
					sent++
				}
				submit(t, r)
			}
			if !r.Due() {
				t.Error("the overflow does not show")
			}
			for seen := uint64(0); seen < n; {
				c := r.Next()
				if c == nil {
					r.Seen()
					submit(t, r)
					if c = r.Next(); c == nil {
						t.Fatalf("%d completions of %d are lost", n-seen, n)
					}
				}
				if c.UserData != seen {
					t.Fatalf("completion of %d, want that of %d", c.UserData, seen)
				}
				seen++
			}
		})
	}
}

func TestWait(t *testing.T) {
	r := open(t, Config{Entries: 4, Completions: 8, Flags: deferTaskrun})
	for _, d := range []time.Duration{0, 5 * time.Millisecond} {
		began := time.Now()
		if errno := r.Wait(d); errno != unix.ETIME && errno != unix.EINTR {
			t.Errorf("Wait(%v): %v", d, errno)
		} else if took := time.Since(began); errno == unix.ETIME && took < d {
			t.Errorf("Wait(%v) took %v", d, took)
		}
	}
	nop(r, 7)
	if errno := r.Wait(-1); errno != 0 {
		t.Errorf("Wait: %v", errno)
	}
	if c := r.Next(); c == nil || c.UserData != 7 {
		t.Errorf("completion %v", c)
	}
}

// A time that is far away has not passed.
func TestWaitFarAhead(t *testing.T) {
	r := open(t, Config{Entries: 4, Completions: 8, Flags: deferTaskrun})
	for _, d := range []time.Duration{100 * 365 * 24 * time.Hour, math.MaxInt64} {
		in, out := pipe(t)
		e := r.SQE()
		e.PrepPoll(in, unix.POLLIN, false)
		e.UserData = 7
		time.AfterFunc(20*time.Millisecond, func() { unix.Write(int(out), []byte("x")) })
		errno := r.Wait(d)
		for errno == unix.EINTR {
			errno = r.Wait(d)
		}
		if c := r.Next(); errno != 0 || c == nil || c.UserData != 7 {
			t.Fatalf("Wait(%v): %v, completion %v", d, errno, c)
		}
		r.Seen()
	}
}

// A mark completes behind all that was there to be reported before, and before what comes after it has completed.
func TestMark(t *testing.T) {
	for name, flags := range map[string]uint32{"deferred": deferTaskrun, "plain": SetupClamp} {
		t.Run(name, func(t *testing.T) {
			r := open(t, Config{Entries: 8, Completions: 1024, Flags: flags})
			const n, mark = 200, 1000
			var outs [n]int32
			for i := range outs {
				in, out := pipe(t)
				outs[i] = out
				e := r.SQE()
				e.PrepPoll(in, unix.POLLIN, false)
				e.UserData = uint64(i)
				submit(t, r)
			}
			for _, out := range outs {
				unix.Write(int(out), []byte("x"))
			}
			e := r.SQE()
			r.PrepMark(e)
			e.UserData = mark
			for seen := 0; ; {
				c := r.Next()
				if c == nil {
					r.Seen()
					if errno := r.Wait(-1); errno != 0 && errno != unix.EINTR {
						t.Fatalf("Wait: %v, after %d completions", errno, seen)
					}
					continue
				}
				if c.UserData == mark {
					if seen != n {
						t.Errorf("the mark came after %d completions of %d", seen, n)
					}
					break
				}
				seen++
			}
			r.Seen()
		})
	}
}

func pipe(t testing.TB) (in, out int32) {
	t.Helper()
	p := make([]int, 2)
	if err := unix.Pipe2(p, unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return int32(p[0]), int32(p[1])
}

func TestRegisteredFD(t *testing.T) {
	r := open(t, Config{Entries: 4, Completions: 8, Flags: deferTaskrun})
	for range 40 { // a thread has room for 16, so that they must be given back
		r.RegisterFD()
		if r.enterFlags == 0 {
			t.Fatal("the descriptor was not registered")
		}
		nop(r, 1)
		submit(t, r)
		r.UnregisterFD()
		nop(r, 2)
		submit(t, r)
	}
}

func TestSupports(t *testing.T) {
	r := open(t, Config{Entries: 4, Completions: 8})
	if ok, err := r.Supports(OpNop, OpRecv, OpAccept); !ok || err != nil {
		t.Errorf("Supports: %v, %v", ok, err)
	}
	if ok, err := r.Supports(OpNop, 255); ok || err != nil {
		t.Errorf("Supports of an operation that there is not: %v, %v", ok, err)
	}
}

func TestError(t *testing.T) {
	_, err := New(Config{Entries: 4, Completions: 8, Flags: 1 << 31})
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
		t.Errorf("New with a flag that there is not: %v", err)
	}
	for errno, want := range map[unix.Errno]string{
		unix.EPERM:  "EPERM from io_uring_setup (seccomp? kernel.io_uring_disabled?)",
		unix.ENOSYS: "ENOSYS from io_uring_setup (this kernel has none)",
		unix.ENOMEM: "ENOMEM from io_uring_setup (RLIMIT_MEMLOCK?)",
		unix.EBADF:  "EBADF from io_uring_setup",
		999:         "errno 999 from io_uring_setup",
	} {
		if got := failed("io_uring_setup", errno); got.Error() != want || !errors.Is(got, errno) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := failed("x", 0); err != nil {
		t.Error(err)
	}
}

// The ring of buffers goes round several times, and its 16-bit places too.
func TestBuffers(t *testing.T) {
	r := open(t, Config{Entries: 4, Completions: 8, Flags: deferTaskrun})
	const n, size = 4, 16
	mem, err := Map(n * size)
	if err != nil {
		t.Fatal(err)
	}
	defer Unmap(mem)
	b, err := NewBuffers(r, 3, n, false)
	testenv.Need(t, Name+":full", err) // which kernels that have only the basic rung lack
	defer b.Free()
	for bid := range uint16(n) {
		b.Add(mem[int(bid)*size:][:size], bid)
	}
	b.Publish()
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s[0])
	defer unix.Close(s[1])
	for i := range 70_000 {
		message := []byte{byte(i), byte(i >> 8), byte(i >> 16)}
		unix.Write(s[1], message)
		r.SQE().PrepRecvSelect(int32(s[0]), 3, size)
		submit(t, r)
		c := r.Next()
		if c == nil || c.Res != 3 || c.Flags&CQEBuffer == 0 || int(c.Flags>>CQEBufferShift) != i%n {
			t.Fatalf("round %d: completion %+v", i, c)
		}
		if got := mem[i%n*size:][:3]; string(got) != string(message) {
			t.Fatalf("round %d: buffer holds % x, want % x", i, got, message)
		}
		r.Seen()
		b.Add(mem[i%n*size:][:size], uint16(i%n))
		b.Publish()
	}
}

func TestArena(t *testing.T) {
	a, err := NewArena(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	for range 2 {
		last := uintptr(0)
		n := 0
		for p := a.Alloc(24); p != nil; p = a.Alloc(24) {
			if at := uintptr(p); at%16 != 0 || last != 0 && at-last < 24 {
				t.Fatalf("%#x after %#x", at, last)
			} else {
				last = at
			}
			n++
		}
		if n != 4096/32 {
			t.Errorf("%d pieces", n)
		}
		a.Reset()
	}
	if a.Alloc(5000) != nil {
		t.Error("more than there is")
	}
}

func BenchmarkSubmit(b *testing.B) {
	for name, n := range map[string]int{"1": 1, "64": 64} {
		b.Run(name, func(b *testing.B) {
			r := open(b, Config{Entries: 64, Completions: 128, Flags: deferTaskrun})
			r.RegisterFD()
			defer r.UnregisterFD()
			b.ReportAllocs()
			for range b.N {
				for i := range n {
					nop(r, uint64(i))
				}
				r.Submit()
				for r.Next() != nil {
				}
				r.Seen()
			}
		})
	}
}
