//go:build linux

package load

import (
	"golang.org/x/sys/unix"
)

// churn keeps Conns connections on their way: each is opened, carries one message there and back, and is closed, and
// the next one takes its place.
func (w *worker) churn() {
	d, err := newDialer(w.spec.Addr, 1<<30)
	if err != nil {
		w.firstErr = err
		w.errors++
		return
	}
	share := w.spec.Conns / w.spec.Threads
	w.conns = make([]conn, max(1, share))
	var again []int32 // slots to be opened
	for i := range w.conns {
		again = append(again, int32(i))
	}
	answered := func(c *conn, now int64) {
		w.total++
		if w.win.within(now) {
			w.answered++
			w.hist.RecordValue(now - c.at[0])
		}
		again = append(again, int32(c.id))
	}
	for !w.stopped() {
		wait := w.turn(nanotime())
		if w.ended {
			w.finish()
		}
		for _, i := range again {
			w.reopen(d, i)
		}
		again = again[:0]
		w.each(wait, answered)
		for i := range w.conns {
			if w.conns[i].dead && !w.stopped() {
				again = append(again, int32(i))
			}
		}
	}
}

// reopen closes the connection in slot i and opens another one.
func (w *worker) reopen(d *dialer, i int32) {
	c := &w.conns[i]
	if c.fd > 0 {
		if w.spec.Reset {
			abort(int(c.fd))
		}
		unix.Close(int(c.fd))
	}
	*c = conn{id: uint64(i), at: append(c.at[:0], nanotime())}
	fd, err := d.socket(unix.SOCK_NONBLOCK)
	if err != nil {
		w.fail(c, err)
		return
	}
	c.fd = int32(fd)
	err = unix.Connect(fd, &d.to)
	if err != nil && err != unix.EINPROGRESS {
		w.fail(c, err)
		return
	}
	ev := unix.EpollEvent{Events: edges, Fd: i}
	if err := unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		w.fail(c, err)
		return
	}
	c.tx = 1
	if err == nil {
		w.flush(c)
	}
}
