//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backendtest

import (
	"encoding/binary"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// acceptTests are about listening sockets: no connection may be lost, whenever an Accept ends.
var acceptTests = []test{
	{name: "one", body: acceptOneShot, everyNet: true},
	{name: "multishot", body: acceptMultishot, everyNet: true},
	{name: "flags", body: acceptFlags, everyNet: true},
	{name: "thousand_canceled_midway", body: acceptThousand, everyNet: true},
	{name: "canceled_and_again", body: acceptAgain, everyNet: true},
	{name: "out_of_descriptors", body: acceptEMFILE, everyNet: true},
	{name: "not_listening", body: acceptNotListening},
	{name: "client_gone", body: acceptClientGone, everyNet: true},
}

func acceptOneShot(r *rig) {
	ln, addr := r.listen(10)
	for i := range 4 {
		var t backend.Token
		if i%2 == 0 { // before the client, or after
			t = r.submit(backend.Op{Kind: backend.Accept, FD: ln})
			r.wantPending(t)
		}
		client := r.dial(addr)
		if i%2 == 1 {
			t = r.submit(backend.Op{Kind: backend.Accept, FD: ln})
		}
		c := r.finish(t)
		r.ok("accept", c.Err)
		r.put(client, []byte("hi"))
		r.wantBytes("what came", r.pull(c.N, 2), []byte("hi"))
	}
	// One that was not asked for stays where it is.
	r.dial(addr)
	r.settle()
	fd, err := acceptOne(ln)
	r.ok("accept", err)
	r.adopt(fd)
}

func acceptMultishot(r *rig) {
	ln, addr := r.listen(100)
	t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
	for i := range 20 {
		client := r.dial(addr)
		c := r.next(t)
		if c.Err != nil || !c.More {
			r.Fatalf("connection %d: %s", i, show(&c))
		}
		r.put(client, []byte{byte(i)})
		r.wantBytes("what came", r.pull(c.N, 1), []byte{byte(i)})
	}
	for range 50 { // many at once
		r.dial(addr)
	}
	for range 50 {
		if c := r.next(t); c.Err != nil || !c.More {
			r.Fatalf("one of many connections: %s", show(&c))
		}
	}
	r.wantPending(t)
	r.cancel(t)
	r.want(t, -1, backend.ErrCanceled)
}

func acceptFlags(r *rig) {
	ln, addr := r.listen(10)
	r.ok("make the listener inheritable", func() error {
		// Some systems hand a listener's flags down, so that it must not be the listener that has them.
		_, err := unix.FcntlInt(uintptr(ln), unix.F_SETFD, 0)
		return err
	}())
	for _, multi := range []bool{false, true} {
		t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: multi})
		r.dial(addr)
		c := r.next(t)
		r.ok("accept", c.Err)
		if f, err := unix.FcntlInt(uintptr(c.N), unix.F_GETFL, 0); err != nil || f&unix.O_NONBLOCK == 0 {
			r.Errorf("multishot %v: the accepted descriptor has flags %#x, %v; want it non-blocking", multi, f, err)
		}
		if f, err := unix.FcntlInt(uintptr(c.N), unix.F_GETFD, 0); err != nil || f&unix.FD_CLOEXEC == 0 {
			r.Errorf("multishot %v: the accepted descriptor has descriptor flags %#x, %v; want close-on-exec", multi, f, err)
		}
	}
}

// acceptThousand cancels a multishot Accept while clients keep coming. Each must have been reported or still lie in the
// listen queue, and the queue must be as it was.
func acceptThousand(r *rig) {
	const n = 1000
	ln, addr := r.listen(n)
	t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
	half, canceling := make(chan struct{}), make(chan struct{})
	done := make(chan []int, 1)
	go func() {
		var clients []int
		for i := range n {
			switch i {
			case n / 2:
				close(half)
			case n * 3 / 4:
				<-canceling // the last of them come during the cancel and after it
			}
			fd, err := newSocket(r.net.family(), unix.SOCK_STREAM)
			if err != nil {
				r.Errorf("socket: %v", err)
				break
			}
			clients = append(clients, fd)
			for {
				err = unix.Connect(fd, addr.sa)
				if err != unix.EAGAIN { // the queue of a unix socket is full for now
					break
				}
				time.Sleep(time.Millisecond)
			}
			if err == unix.EINPROGRESS {
				err = waitFor(fd, unix.POLLOUT)
			}
			var name [4]byte
			binary.BigEndian.PutUint32(name[:], uint32(i))
			if err == nil {
				_, err = unix.Write(fd, name[:])
			}
			if err != nil {
				r.Errorf("client %d: %v", i, err)
				break
			}
		}
		done <- clients
	}()
	seen := make([]int, n)
	var served []int
	canceled := false
	defer func() {
		if !canceled { // the test fails, and the clients must not hang
			close(canceling)
		}
	}()
	for {
		c := r.next(t)
		if c.Err != nil {
			if c.Err != backend.ErrCanceled || !canceled {
				r.Errorf("accept ended with %s", show(&c))
			}
			break
		}
		served = append(served, c.N)
		select {
		case <-half:
			if !canceled {
				close(canceling)
				r.cancel(t)
				canceled = true
			}
		default:
		}
	}
	reported := len(served)
	clients := <-done
	for _, fd := range clients {
		r.adopt(fd)
	}
	for {
		fd, err := acceptOne(ln)
		if err == unix.EAGAIN {
			break
		}
		r.ok("accept what is left", err)
		served = append(served, r.adopt(fd))
	}
	for _, fd := range served {
		var name [4]byte
		r.get(fd, name[:])
		seen[binary.BigEndian.Uint32(name[:])]++
	}
	for i, k := range seen {
		if k != 1 {
			r.Errorf("client %d was accepted %d times", i, k)
		}
	}
	r.Logf("%d reported, %d left in the queue", reported, len(served)-reported)
}

func acceptAgain(r *rig) {
	ln, addr := r.listen(100)
	for i := range 20 {
		t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: i%2 == 0})
		if i%3 == 0 {
			r.poll(0)
		}
		client := r.dial(addr)
		if i%5 == 0 {
			r.poll(0)
		}
		r.cancel(t)
		fd := -1
		for {
			c := r.next(t)
			if c.Err == nil {
				fd = c.N
			} else if c.Err != backend.ErrCanceled {
				r.Fatalf("accept ended with %s", show(&c))
			}
			if !c.More {
				break
			}
		}
		if fd < 0 { // then it is still to come
			c := r.run(backend.Op{Kind: backend.Accept, FD: ln})
			r.ok("accept", c.Err)
			fd = c.N
		}
		r.put(client, []byte{byte(i)})
		r.wantBytes("what came", r.pull(fd, 1), []byte{byte(i)})
	}
}

// acceptEMFILE leaves no descriptor number to accept to.
func acceptEMFILE(r *rig) {
	ln, addr := r.listen(10)
	for _, multi := range []bool{false, true} {
		client := r.dial(addr)
		next, err := unix.Dup(ln)
		r.ok("dup", err)
		unix.Close(next)
		var was unix.Rlimit
		r.ok("getrlimit", unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
		none := was
		setLimit(&none.Cur, next)
		r.ok("setrlimit", unix.Setrlimit(unix.RLIMIT_NOFILE, &none))
		c := func() backend.Completion {
			defer unix.Setrlimit(unix.RLIMIT_NOFILE, &was)
			return r.run(backend.Op{Kind: backend.Accept, FD: ln, Multishot: multi})
		}()
		if c.N != -1 || c.Err != unix.EMFILE {
			r.Fatalf("accept without a free descriptor: %s; want EMFILE", show(&c))
		}
		// The connection was not lost.
		c = r.run(backend.Op{Kind: backend.Accept, FD: ln})
		r.ok("accept", c.Err)
		r.put(client, []byte("x"))
		r.wantBytes("what came", r.pull(c.N, 1), []byte("x"))
	}
}

func acceptNotListening(r *rig) {
	fd, _ := r.bind()
	for _, multi := range []bool{false, true} {
		r.want(r.submit(backend.Op{Kind: backend.Accept, FD: fd, Multishot: multi}), -1, unix.EINVAL)
	}
	p, _ := r.pipe()
	r.want(r.submit(backend.Op{Kind: backend.Accept, FD: p}), -1, unix.ENOTSOCK)
}

// acceptClientGone has clients leave before they are accepted, which must not end a multishot Accept.
func acceptClientGone(r *rig) {
	ln, addr := r.listen(10)
	for range 3 {
		r.shut(r.dial(addr))
	}
	t := r.submit(backend.Op{Kind: backend.Accept, FD: ln, Multishot: true})
	r.settle()
	client := r.dial(addr)
	r.put(client, []byte("x"))
	for {
		c := r.next(t)
		r.ok("accept", c.Err)
		var p [1]byte
		r.ok("wait for data or the end", waitFor(c.N, unix.POLLIN))
		if n, _ := unix.Read(c.N, p[:]); n == 1 {
			return
		}
	}
}
