//go:build linux

package uring

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/eyewall/eyewall/backend/uring/internal/ring"
	"golang.org/x/sys/unix"
)

// abilities are what a probe found.
type abilities struct {
	flags       uint32 // for the set-up
	skip        bool   // the completion of a successful cancel can be left out
	incremental bool   // buffers can be packed
}

// probeOnce keeps the answer of a probe for the life of the process. A refusal is not kept: it costs one system call,
// and may have been for want of memory or descriptors.
type probeOnce struct {
	sync.Mutex
	done bool
	can  abilities
}

// probe finds out what of the rung works here, by doing it.
func (g *rung) probe() (abilities, error) {
	g.probed.Lock()
	defer g.probed.Unlock()
	if g.probed.done {
		return g.probed.can, nil
	}
	// A ring belongs to a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	can, err := g.try()
	if err == nil {
		g.probed.can, g.probed.done = can, true
	}
	return can, err
}

// try probes with the best flags that the kernel takes. Each attempt has a ring of its own: one that fails leaves
// completions behind.
func (g *rung) try() (can abilities, err error) {
	for _, flags := range g.flags {
		for _, incremental := range []bool{true, false} {
			if incremental && !g.multishot {
				continue
			}
			var r *ring.Ring
			r, err = patient(func() (*ring.Ring, error) {
				return makeRing(ring.Config{Entries: 8, Completions: 32, Flags: flags})
			})
			if err != nil {
				break
			}
			can, err = g.tryRing(r, incremental)
			r.Close()
			if err == nil || !incremental {
				can.flags = flags
				return can, err
			}
		}
		if !errors.Is(err, unix.EINVAL) {
			return can, err
		}
	}
	return can, fmt.Errorf("%w: the kernel is too old for it", err)
}

const needed = ring.FeatSingleMmap | ring.FeatNoDrop | ring.FeatSubmitStable | ring.FeatRWCurPos | ring.FeatFastPoll |
	ring.FeatExtArg

// tryRing probes with that ring, and with incremental or plain buffers.
func (g *rung) tryRing(r *ring.Ring, incremental bool) (can abilities, err error) {
	if missing := needed &^ r.Features(); missing != 0 {
		return can, fmt.Errorf("io_uring lacks features %#x: the kernel is too old: %w", missing, unix.EOPNOTSUPP)
	}
	can.skip = r.Features()&ring.FeatCQESkip != 0
	can.incremental = incremental
	operations := []uint8{ring.OpPollAdd, ring.OpSendmsg, ring.OpTimeout, ring.OpAccept, ring.OpAsyncCancel, ring.OpConnect,
		ring.OpRead, ring.OpWrite, ring.OpSend, ring.OpRecv}
	if !g.multishot {
		operations = append(operations, ring.OpProvideBuffers)
	}
	if ok, err := r.Supports(operations...); err != nil {
		return can, err
	} else if !ok {
		return can, fmt.Errorf("io_uring lacks operations: the kernel is too old: %w", unix.EOPNOTSUPP)
	}
	if err := r.Enable(); err != nil {
		return can, err
	}
	return can, tryReceiving(r, g.multishot, incremental)
}

// tryReceiving receives three messages, one of them and then two by a request that must go on until it is canceled,
// and looks whether they are where their completions say. Where buffers are packed only the order of the completions
// tells that; before 6.15 the kernel could get it wrong where both kinds of request met in one call, as they do here.
func tryReceiving(r *ring.Ring, multishot, incremental bool) error {
	const size, count = 64, 4
	mem, err := ring.Map(size * count)
	if err != nil {
		return err
	}
	defer ring.Unmap(mem)
	var p pair
	var q pair
	defer p.close()
	defer q.close()
	if err := errors.Join(p.open(), q.open()); err != nil {
		return err
	}

	const provide, first, second, stop = 1, 2, 3, 4 // user data
	if multishot {
		bufs, err := patient(func() (*ring.Buffers, error) {
			return ring.NewBuffers(r, bufferGroup, count, incremental)
		})
		if err != nil {
			return err
		}
		defer bufs.Free()
		for i := range count {
			bufs.Add(mem[i*size:][:size], uint16(i))
		}
		bufs.Publish()
	} else {
		e := r.SQE()
		e.PrepProvide(mem[:size], bufferGroup, 0, false)
		e.UserData = provide
		if c, err := await(r, provide); err != nil || c.Res < 0 {
			return wrong("provided buffers", c, err)
		}
	}

	var used [count]int
	check := func(message string, request uint64) error {
		c, err := await(r, request)
		bid := c.Flags >> ring.CQEBufferShift
		if err != nil || int(c.Res) != len(message) || c.Flags&ring.CQEBuffer == 0 || bid >= count {
			return wrong("a receive", c, err)
		}
		if got := mem[int(bid)*size+used[bid]:][:c.Res]; string(got) != message {
			return wrong("packed buffers", c, nil)
		}
		if incremental {
			used[bid] += int(c.Res)
		}
		if request == second && c.Flags&ring.CQEMore == 0 {
			return wrong("a multishot receive", c, nil)
		}
		return nil
	}
	p.send("one")
	q.send("second")
	e := r.SQE()
	e.PrepRecvSelect(int32(p[0]), bufferGroup, size)
	e.UserData = first
	if !incremental {
		if err := check("one", first); err != nil || !multishot {
			return err
		}
	}
	e = r.SQE()
	e.PrepRecvMultishot(int32(q[0]), bufferGroup)
	e.UserData = second
	if incremental {
		if err := check("one", first); err != nil {
			return err
		}
	}
	if err := check("second", second); err != nil {
		return err
	}
	q.send("3rd")
	if err := check("3rd", second); err != nil {
		return err
	}
	e = r.SQE()
	e.PrepCancel(second, true)
	e.UserData = stop
	if c, err := await(r, second); err != nil || c.Res != -int32(unix.ECANCELED) || c.Flags&ring.CQEMore != 0 {
		return wrong("a cancel", c, err)
	}
	return nil
}

// await takes the next completion, which must be of that request.
func await(r *ring.Ring, request uint64) (ring.CQE, error) {
	c := r.Next()
	for i := 0; c == nil && i < 10; i++ {
		switch errno := r.Wait(100 * time.Millisecond); errno {
		case 0, unix.EINTR, unix.ETIME:
		default:
			return ring.CQE{}, &ring.Error{Call: "io_uring_enter", Errno: errno}
		}
		c = r.Next()
	}
	if c == nil {
		return ring.CQE{}, unix.ETIMEDOUT
	}
	got := *c
	r.Seen()
	if got.UserData != request {
		return got, unix.EPROTO
	}
	return got, nil
}

// wrong says what does not work. It is of the kind that means: another rung.
func wrong(what string, c ring.CQE, err error) error {
	if err == nil {
		err = unix.EOPNOTSUPP
		if c.Res < 0 {
			err = unix.Errno(-c.Res)
		}
	}
	return fmt.Errorf("io_uring: %s does not work here: %w", what, err)
}

// pair is two sockets that are connected.
type pair [2]int

func (p *pair) open() (err error) {
	*p, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return &ring.Error{Call: "socketpair", Errno: err.(unix.Errno)}
	}
	return nil
}

func (p *pair) send(message string) { unix.Write(p[1], []byte(message)) }

func (p *pair) close() {
	if p[1] != 0 {
		unix.Close(p[0])
		unix.Close(p[1])
	}
}
