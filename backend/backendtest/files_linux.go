package backendtest

import (
	"encoding/binary"
	"time"

	"github.com/eyewall/eyewall/backend"
	"golang.org/x/sys/unix"
)

// systemFileTests read descriptors that only Linux has.
var systemFileTests = []test{
	{name: "eventfd", body: eventFD},
	{name: "timerfd", body: timerFD},
	{name: "inotify", body: inotify},
}

// dup2 makes newfd another number for oldfd.
func dup2(oldfd, newfd int) error { return unix.Dup3(oldfd, newfd, unix.O_CLOEXEC) }

func eventFD(r *rig) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	r.ok("eventfd", err)
	r.adopt(fd)
	var buf, one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	for range 10 {
		t := r.submit(backend.Op{Kind: backend.Read, FD: fd, Buf: buf[:]})
		r.wantPending(t)
		r.want(r.submit(backend.Op{Kind: backend.Write, FD: fd, Buf: one[:]}), 8, nil)
		r.want(t, 8, nil)
		if n := binary.NativeEndian.Uint64(buf[:]); n != 1 {
			r.Errorf("eventfd reads %d", n)
		}
	}
	// A write that would overflow the counter waits for a reader.
	binary.NativeEndian.PutUint64(one[:], 1<<64-2)
	r.want(r.submit(backend.Op{Kind: backend.Write, FD: fd, Buf: one[:]}), 8, nil)
	t := r.submit(backend.Op{Kind: backend.Write, FD: fd, Buf: one[:]})
	r.wantPending(t)
	r.want(r.submit(backend.Op{Kind: backend.Read, FD: fd, Buf: buf[:]}), 8, nil)
	r.want(t, 8, nil)
}

func timerFD(r *rig) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	r.ok("timerfd_create", err)
	r.adopt(fd)
	var buf [8]byte
	for i := range 4 {
		t := r.submit(backend.Op{Kind: backend.Read, FD: fd, Buf: buf[:]})
		if i == 0 {
			r.wantPending(t)
		}
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(2 * time.Millisecond))}
		r.ok("timerfd_settime", unix.TimerfdSettime(fd, 0, &spec, nil))
		r.want(t, 8, nil)
		if n := binary.NativeEndian.Uint64(buf[:]); n != 1 {
			r.Errorf("timerfd reads %d", n)
		}
	}
}

func inotify(r *rig) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	r.ok("inotify_init1", err)
	r.adopt(fd)
	dir := r.TempDir()
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE)
	r.ok("inotify_add_watch", err)
	buf := make([]byte, 4096)
	t := r.submit(backend.Op{Kind: backend.Read, FD: fd, Buf: buf})
	r.wantPending(t)
	r.ok("mkdir", unix.Mkdir(dir+"/x", 0o700))
	if c := r.finish(t); c.Err != nil || c.N < unix.SizeofInotifyEvent {
		r.Errorf("inotify reads %s", show(&c))
	}
}
