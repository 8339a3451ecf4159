package reactor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/event"
	"github.com/eyewall/eyewall/internal/sock"
)

// rawListener makes a listening socket, for events.
func rawListener(t testing.TB) (fd int, addr netip.AddrPort) {
	t.Helper()
	ln, err := new(ListenConfig).listen("tcp", []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	must(t, "listen", err)
	return ln.fd, sock.Local(ln.fd)
}

// rawPair makes two connected sockets, for events.
func rawPair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, "socketpair", err)
	for _, fd := range fds {
		must(t, "set", unix.SetNonblock(fd, true))
	}
	return fds[0], fds[1]
}

// closeEach closes descriptors by events.
func closeEach(t *testing.T, task Task, fds ...int) {
	t.Helper()
	for _, fd := range fds {
		must(t, "Close", task.Await(&event.Close{FD: fd}))
	}
}

func TestAcceptEvent(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			fd, addr := rawListener(t)
			accept := &event.Accept{FD: fd, Timeout: time.Millisecond, Conn: 99}
			began := time.Now()
			wantErr(t, "Await", task.Await(accept), backend.ErrDeadline)
			if took := time.Since(began); took < time.Millisecond || accept.Conn != -1 {
				t.Errorf("Await took %v and left descriptor %d", took, accept.Conn)
			}
			accept.Timeout = 0
			for range 3 {
				peer, err := net.Dial("tcp", addr.String())
				must(t, "Dial", err)
				must(t, "Await", task.Await(accept))
				if got, want := sock.Remote(accept.Conn).String(), peer.LocalAddr().String(); got != want {
					t.Errorf("accepted a connection of %v, want %v", got, want)
				}
				flags, err := unix.FcntlInt(uintptr(accept.Conn), unix.F_GETFL, 0)
				if err != nil || flags&unix.O_NONBLOCK == 0 {
					t.Errorf("the descriptor's flags are %x, %v; it must not block", flags, err)
				}
				flags, err = unix.FcntlInt(uintptr(accept.Conn), unix.F_GETFD, 0)
				if err != nil || flags&unix.FD_CLOEXEC == 0 {
					t.Errorf("the descriptor's flags are %x, %v; programs that are started must not inherit it", flags, err)
				}
				closeEach(t, task, accept.Conn)
				peer.Close()
			}
			closeEach(t, task, fd)
		})
	})
}

func TestReadEvent(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := rawPair(t)
			read := &event.Read{FD: a, Timeout: time.Millisecond}
			wantErr(t, "Await", task.Await(read), backend.ErrDeadline)
			if read.Data != nil {
				t.Error("there is data beside an error")
			}
			read.Timeout = 0
			other := &event.Read{FD: a}
			for _, text := range []string{"first", "second", "third"} {
				unix.Write(b, []byte(text))
				must(t, "Await", task.Await(read))
				same(t, "Data", read.Data, []byte(text))
				// It stays until Release, whatever is read meanwhile.
				unix.Write(b, []byte("other"))
				must(t, "Await", task.Await(other))
				same(t, "Data of the first", read.Data, []byte(text))
				same(t, "Data of the other", other.Data, []byte("other"))
			}
			if n := outstanding(task.Loop()); n != 2 {
				t.Errorf("%d buffers are lent, want 2: Await gives back what the event has", n)
			}
			read.Release()
			other.Release()
			other.Release()
			if n := outstanding(task.Loop()); n != 0 || read.Data != nil {
				t.Errorf("after Release %d buffers are lent, and Data is %q", n, read.Data)
			}
			closeEach(t, task, b)
			wantErr(t, "Await at the end of the stream", task.Await(read), io.EOF)
			read.Release()
			closeEach(t, task, a)
		})
	})
}

// outstanding is the number of lent buffers.
func outstanding(l *Loop) (n int) {
	s := spyOn(l)
	s.counts(func() { n = len(s.lent) })
	return n
}

func TestReadIntoEvent(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			read := &event.ReadInto{FD: r, Buf: make([]byte, 4), Timeout: time.Millisecond, N: 99}
			wantErr(t, "Await", task.Await(read), backend.ErrDeadline)
			if read.N != 0 {
				t.Errorf("N is %d beside an error", read.N)
			}
			read.Timeout = 0
			task.Go(func(task Task) error {
				must(t, "Sleep", task.Sleep(time.Millisecond))
				must(t, "Await", task.Await(&event.Write{FD: w, Buf: []byte("abcdef")}))
				return task.Await(&event.Close{FD: w})
			})
			var got []byte
			for {
				err := task.Await(read)
				got = append(got, read.Buf[:read.N]...)
				if err != nil {
					wantErr(t, "the end of the stream", err, io.EOF)
					break
				}
			}
			same(t, "what was read", got, []byte("abcdef"))
			if err := task.Await(&event.ReadInto{FD: r}); err == nil {
				t.Error("reading into nothing is no error")
			}
			closeEach(t, task, r)
		})
	})
}

// Write ends when all is written, however slowly the other end takes it.
func TestWriteEvent(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			want := pattern(300_000)
			var got []byte
			reader := task.Go(func(task Task) error {
				read := &event.ReadInto{FD: r, Buf: make([]byte, 10_000)}
				for {
					if err := task.Await(read); err != nil {
						return err
					}
					got = append(got, read.Buf[:read.N]...)
				}
			})
			write := &event.Write{FD: w, Buf: want}
			must(t, "Await", task.Await(write))
			if write.N != len(want) {
				t.Errorf("N is %d, want %d", write.N, len(want))
			}
			closeEach(t, task, w)
			when(t, task, "all is read", reader.Done)
			same(t, "what was written", got, want)
			closeEach(t, task, r)

			// Nobody reads this one.
			r, w = newPipe(t)
			write = &event.Write{FD: w, Buf: want, Timeout: time.Millisecond}
			wantErr(t, "Await", task.Await(write), backend.ErrDeadline)
			if write.N <= 0 || write.N >= len(want) {
				t.Errorf("N is %d; some of %d bytes fit into the pipe", write.N, len(want))
			}
			closeEach(t, task, r)
			wantErr(t, "Await without a reader", task.Await(write), unix.EPIPE)
			closeEach(t, task, w)
		})
	})
}

func TestWritevEvent(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := rawPair(t)
			want := pattern(600_000)
			var bufs [][]byte
			for rest, n := want, 0; len(rest) > 0; n = (n*7 + 1) % 3001 { // some are empty
				n = min(n, len(rest))
				bufs = append(bufs, rest[:n])
				rest = rest[n:]
			}
			var got []byte
			reader := task.Go(func(task Task) error {
				read := &event.Read{FD: b}
				defer read.Release()
				for {
					if err := task.Await(read); err != nil {
						return err
					}
					got = append(got, read.Data...)
				}
			})
			write := &event.Writev{FD: a, Bufs: bufs}
			must(t, "Await", task.Await(write))
			if write.N != len(want) {
				t.Errorf("N is %d, want %d", write.N, len(want))
			}
			closeEach(t, task, a)
			when(t, task, "all is read", reader.Done)
			same(t, "what was written", got, want)
			closeEach(t, task, b)

			a, b = rawPair(t)
			write = &event.Writev{FD: a, Bufs: bufs, Timeout: time.Millisecond}
			for range 20 { // until no more fits
				if err := task.Await(write); err != nil {
					wantErr(t, "Await", err, backend.ErrDeadline)
					break
				}
			}
			if write.N >= len(want) {
				t.Errorf("N is %d of %d bytes that nobody reads", write.N, len(want))
			}
			closeEach(t, task, a, b)
		})
	})
}

func TestConnectEvent(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			listening, addr := rawListener(t)
			raw, err := sock.Raw(nil, addr)
			must(t, "Raw", err)
			fd, err := sock.New(addr.Addr())
			must(t, "New", err)
			must(t, "Await", task.Await(&event.Connect{FD: fd, Addr: raw, Timeout: limit}))
			if got := sock.Remote(fd); got != addr {
				t.Errorf("connected to %v, want %v", got, addr)
			}
			closeEach(t, task, listening, fd)

			fd, err = sock.New(addr.Addr())
			must(t, "New", err)
			wantErr(t, "Await", task.Await(&event.Connect{FD: fd, Addr: raw}), unix.ECONNREFUSED)
			closeEach(t, task, fd)
		})
	})
}

func TestPollEvent(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			readable := &event.Poll{FD: r, Events: unix.POLLIN, Timeout: time.Millisecond}
			wantErr(t, "Await", task.Await(readable), backend.ErrDeadline)
			if readable.Revents != 0 {
				t.Errorf("Revents is %x beside an error", readable.Revents)
			}
			writable := &event.Poll{FD: w, Events: unix.POLLOUT}
			must(t, "Await", task.Await(writable))
			if writable.Revents != unix.POLLOUT {
				t.Errorf("Revents is %x, want POLLOUT", writable.Revents)
			}
			readable.Timeout = 0
			task.Go(func(task Task) error {
				must(t, "Sleep", task.Sleep(time.Millisecond))
				_, err := unix.Write(w, []byte("x"))
				return err
			})
			for range 2 { // it reads nothing
				must(t, "Await", task.Await(readable))
				if readable.Revents != unix.POLLIN {
					t.Errorf("Revents is %x, want POLLIN", readable.Revents)
				}
			}
			closeEach(t, task, w)
			must(t, "Await", task.Await(&event.Poll{FD: r, Events: unix.POLLHUP}))
			closeEach(t, task, r)
		})
	})
}

// Close ends what waits for the descriptor first.
func TestCloseEvent(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			r, w := newPipe(t)
			ended := 0
			for _, wait := range []event.Event{
				&event.ReadInto{FD: r, Buf: make([]byte, 1)},
				&event.ReadInto{FD: r, Buf: make([]byte, 1)},
				&event.Poll{FD: r, Events: unix.POLLIN},
			} {
				task.Go(func(task Task) error {
					wantErr(t, "Await", task.Await(wait), backend.ErrClosed)
					ended++
					return nil
				})
			}
			must(t, "Sleep", task.Sleep(time.Millisecond))
			closeEach(t, task, r)
			when(t, task, "all have ended", func() bool { return ended == 3 })
			if _, err := unix.FcntlInt(uintptr(r), unix.F_GETFD, 0); err != unix.EBADF {
				t.Errorf("the descriptor is not closed: %v", err)
			}
			closeEach(t, task, w)
		})
	})
}

// A task that is canceled, and so must wait no more, still gets its descriptors closed.
func TestCloseEventOfCanceledTask(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		l := testLoop(t, name)
		must(t, "Go", l.Go(func(task Task) error {
			for range 10 {
				task.Go(func(task Task) error {
					r, w := newPipe(t)
					defer closeEach(t, task, r, w)
					return task.Await(&event.ReadInto{FD: r, Buf: make([]byte, 1)})
				})
			}
			stubborn := task.Go(func(task Task) error {
				r, w := newPipe(t)
				defer closeEach(t, task, r, w)
				for {
					task.Await(&event.ReadInto{FD: r, Buf: make([]byte, 1)})
				}
			})
			must(t, "Sleep", task.Sleep(time.Millisecond))
			if stubborn.Done() {
				t.Error("it has ended")
			}
			cancel()
			return nil
		}))
		wantErr(t, "Run", runUntil(t, l, ctx), context.Canceled)
	})
}

// A canceled event ends, and the descriptor works on.
func TestEventsCanceled(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := rawPair(t)
			r, w := newPipe(t)
			fd, addr := rawListener(t)
			full := make([]byte, 4<<20)
			for _, wait := range []event.Event{
				&event.Accept{FD: fd, Timeout: time.Hour},
				&event.Read{FD: a},
				&event.ReadInto{FD: r, Buf: make([]byte, 1)},
				&event.Write{FD: w, Buf: full},
				&event.Writev{FD: b, Bufs: [][]byte{full}, Timeout: time.Hour},
				&event.Poll{FD: b, Events: unix.POLLIN},
				&event.Sleep{For: time.Hour},
			} {
				waiting := task.Go(func(task Task) error {
					wantErr(t, "Await", task.Await(wait), ErrCanceled)
					return nil
				})
				must(t, "Sleep", task.Sleep(500*time.Microsecond))
				waiting.Cancel()
				when(t, task, "it has ended", waiting.Done)
				if read, ok := wait.(*event.ReadInto); ok {
					unix.Write(w, []byte("x"))
					must(t, "Await", task.Await(read))
				}
			}
			peer, err := net.Dial("tcp", addr.String())
			must(t, "Dial", err)
			accept := &event.Accept{FD: fd}
			must(t, "Await", task.Await(accept))
			peer.Close()
			read := &event.Read{FD: a}
			must(t, "Await", task.Await(read)) // what Writev managed to send
			if len(read.Data) == 0 || !bytes.Equal(read.Data, full[:len(read.Data)]) {
				t.Errorf("read %d bytes", len(read.Data))
			}
			read.Release()
			closeEach(t, task, fd, accept.Conn, a, b, r, w)
		})
	})
}

// The error of an operation names the operation and its descriptor.
func TestEventsOnBadDescriptors(t *testing.T) {
	const notOpen = 987
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			f, err := os.CreateTemp(t.TempDir(), "")
			must(t, "CreateTemp", err)
			defer f.Close()
			for what, c := range map[string]struct {
				ev   event.Event
				want error
				text string
			}{
				"Read of a pipe":     {nil, unix.ENOTSOCK, "recv on descriptor "},
				"Accept, negative":   {&event.Accept{FD: -1}, nil, "backend: accept on descriptor -1: "},
				"Read, negative":     {&event.Read{FD: -1}, nil, "backend: recv on descriptor -1: "},
				"Connect to nothing": {&event.Connect{FD: 0}, nil, "backend: connect on descriptor 0: "},
				"Read, not open":     {&event.Read{FD: notOpen}, unix.EBADF, "recv on descriptor 987: bad"},
				"Poll, not open":     {&event.Poll{FD: notOpen}, unix.EBADF, "poll on descriptor 987: bad"},
				"a user's event": {&testEvent{
					register: func(r event.Reactor) error {
						r.Submit(backend.Op{Kind: backend.Recv, FD: notOpen})
						return nil
					},
					resume: func(_ event.Reactor, c *backend.Completion) (bool, error) { return true, c.Err },
				}, unix.EBADF, "recv on descriptor 987: bad"},
				"a user's event of several operations": {&testEvent{
					register: func(r event.Reactor) error {
						r.Submit(backend.Op{Kind: backend.Recv, FD: notOpen})
						r.Submit(backend.Op{Kind: backend.Recv, FD: notOpen + 1})
						return nil
					},
					resume: func(_ event.Reactor, c *backend.Completion) (bool, error) { return true, c.Err },
				}, unix.EBADF, "*reactor.testEvent: bad"},
				"a user's own error": {&testEvent{
					register: func(r event.Reactor) error { r.Ready(unix.EXDEV); return nil },
				}, unix.EXDEV, unix.EXDEV.Error()},
			} {
				r, w := newPipe(t)
				if c.ev == nil {
					c.ev = &event.Read{FD: r}
				}
				err := task.Await(c.ev)
				if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), c.text) {
					t.Errorf("%s: error %v, want %s%v", what, err, c.text, c.want)
				}
				i, first := task.AwaitFirst(c.ev, &event.Sleep{For: time.Hour})
				if i != 0 || first.Error() != err.Error() {
					t.Errorf("%s: AwaitFirst returns %d, %v; Await has returned %v", what, i, first, err)
				}
				closeEach(t, task, r, w)
			}
		})
	})
}

// resultsOf is the results that events of each kind keep.
func resultsOf(evs []event.Event) (all []any) {
	for _, ev := range evs {
		switch e := ev.(type) {
		case *event.Accept:
			all = append(all, e.Conn)
		case *event.Read:
			all = append(all, string(e.Data))
		case *event.ReadInto:
			all = append(all, e.N)
		case *event.Write:
			all = append(all, e.N)
		case *event.Writev:
			all = append(all, e.N)
		case *event.SendFile:
			all = append(all, e.N)
		case *event.Poll:
			all = append(all, e.Revents)
		case *event.Signal:
			all = append(all, e.Got)
		}
	}
	return all
}

// A wait that is refused leaves no results of an earlier one in the event.
func TestRefusedWaitKeepsNoResults(t *testing.T) {
	catching(t)
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, addr := rawListener(t)
			a, b := rawPair(t)
			file, err := os.CreateTemp(t.TempDir(), "")
			must(t, "CreateTemp", err)
			defer file.Close()
			_, err = file.WriteString("file")
			must(t, "WriteString", err)
			sig := &event.Signal{Signals: []os.Signal{unix.SIGUSR2}}
			evs := []event.Event{
				&event.Accept{FD: ln},
				&event.Write{FD: a, Buf: []byte("xx")},
				&event.Read{FD: b},
				&event.Writev{FD: a, Bufs: [][]byte{[]byte("y"), []byte("z")}},
				&event.ReadInto{FD: b, Buf: make([]byte, 9)},
				&event.SendFile{FD: a, File: backend.File{FD: int(file.Fd()), Size: 4}},
				&event.Poll{FD: b, Events: unix.POLLIN},
				sig,
			}
			zero := []any{-1, 0, "", 0, 0, 0, int16(0), os.Signal(nil)}
			wait := func() {
				peer, err := net.Dial("tcp", addr.String())
				must(t, "Dial", err)
				for _, ev := range evs {
					if ev == sig {
						task.Go(func(Task) error {
							raise(t, unix.SIGUSR2)
							return nil
						})
					}
					must(t, "Await", task.Await(ev))
				}
				peer.Close()
				closeEach(t, task, evs[0].(*event.Accept).Conn)
				for i, got := range resultsOf(evs) {
					if got == zero[i] {
						t.Errorf("after a wait %T has %v", evs[i], got)
					}
				}
				must(t, "Await", task.Await(&event.ReadInto{FD: b, Buf: make([]byte, 9)}))
			}
			for _, first := range []bool{false, true} {
				wait()
				refused := task.Go(func(task Task) error {
					task.Cancel()
					if first {
						_, err := task.AwaitFirst(evs...)
						wantErr(t, "AwaitFirst", err, ErrCanceled)
						return nil
					}
					for _, ev := range evs {
						wantErr(t, "Await", task.Await(ev), ErrCanceled)
					}
					return nil
				})
				when(t, task, "the waits were refused", refused.Done)
				for i, got := range resultsOf(evs) {
					if got != zero[i] {
						t.Errorf("after a wait that was refused (AwaitFirst: %v) %T has %v, want %v", first, evs[i], got, zero[i])
					}
				}
			}
			sig.Stop()
			closeEach(t, task, ln, a, b)
		})
	})
}

// An event whose time is over before it begins is tried all the same.
func TestTimeoutInThePast(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			ln, addr := rawListener(t)
			a, b := rawPair(t)
			_, err := unix.Write(b, []byte("there"))
			must(t, "write", err)
			peer, err := net.Dial("tcp", addr.String())
			must(t, "Dial", err)
			defer peer.Close()
			accept, read, into := &event.Accept{FD: ln, Timeout: -1}, &event.Read{FD: a, Timeout: -1}, &event.ReadInto{FD: a, Timeout: -1, Buf: make([]byte, 9)}
			poll, write := &event.Poll{FD: a, Events: unix.POLLOUT, Timeout: -1}, &event.Write{FD: a, Buf: []byte("out"), Timeout: -1}
			for _, ev := range []event.Event{accept, read, poll, write} {
				must(t, fmt.Sprintf("Await of a %T", ev), task.Await(ev))
			}
			if string(read.Data) != "there" || poll.Revents != unix.POLLOUT || write.N != 3 {
				t.Errorf("results are %q, %d, %d", read.Data, poll.Revents, write.N)
			}
			read.Release()
			accept2 := &event.Accept{FD: ln, Timeout: -1}
			for _, ev := range []event.Event{accept2, read, into} { // now nothing is there
				wantErr(t, fmt.Sprintf("Await of a %T", ev), task.Await(ev), ErrDeadline)
			}
			closeEach(t, task, accept.Conn, ln, a, b)
		})
	})
}

// What came before the timeouts of many events, while the loop was held up, is theirs.
func TestTimeoutsAfterStall(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			const n = 300
			var fds []int
			for range n {
				a, b := rawPair(t)
				fds = append(fds, a, b)
			}
			for timeout := 200 * time.Millisecond; ; timeout *= 2 { // longer, if this machine is too slow to write by then
				began := time.Now()
				waiting, late := 0, 0
				for i := range n {
					task.Go(func(task Task) error {
						waiting++
						e := &event.ReadInto{FD: fds[2*i], Buf: make([]byte, 1), Timeout: timeout}
						if err := task.Await(e); err != nil || e.N != 1 {
							late++
						}
						waiting--
						return nil
					})
				}
				when(t, task, "all of them wait, or have ended", func() bool { return waiting+late == n })
				for i := range n {
					_, err := unix.Write(fds[2*i+1], []byte("x"))
					must(t, "write", err)
				}
				inTime := time.Since(began) < timeout
				time.Sleep(timeout)
				when(t, task, "all of them have ended", func() bool { return waiting == 0 })
				if !inTime {
					continue
				}
				if late > 0 {
					t.Errorf("%d of %d events ended early, with their bytes there", late, n)
				}
				break
			}
			closeEach(t, task, fds...)
		})
	})
}
