package event

import (
	"io"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// recorder is a Reactor that notes what an event asks of it.
type recorder struct {
	now      time.Duration
	ops      []backend.Op
	timer    time.Duration // that was set; 0 while none was
	ready    []error
	released []backend.Lease
	canceled []backend.Token
}

// token is that of the last operation.
func (r *recorder) token() backend.Token { return backend.MakeToken(uint32(len(r.ops)), 1) }

func (r *recorder) Submit(op backend.Op) backend.Token {
	r.ops = append(r.ops, op)
	return r.token()
}
func (r *recorder) Cancel(t backend.Token)  { r.canceled = append(r.canceled, t) }
func (r *recorder) Timer(at time.Duration)  { r.timer = at }
func (r *recorder) Now() time.Duration      { return r.now }
func (r *recorder) Release(l backend.Lease) { r.released = append(r.released, l) }
func (r *recorder) Ready(err error)         { r.ready = append(r.ready, err) }
func (r *recorder) Hold()                   {}
func (r *recorder) Post(fn func()) error    { fn(); return nil }

// Each event submits one operation, and sets the timer to when its timeout is over.
func TestRegister(t *testing.T) {
	buf, bufs, addr := []byte("buf"), [][]byte{[]byte("bufs")}, []byte("addr")
	part := backend.File{FD: 8, Offset: 9, Size: 10}
	const soon = time.Second
	for _, c := range []struct {
		ev   Event
		want backend.Op
	}{
		{&Accept{FD: 7, Timeout: soon}, backend.Op{Kind: backend.Accept}},
		{&Read{FD: 7, Timeout: soon}, backend.Op{Kind: backend.Recv}},
		{&ReadInto{FD: 7, Timeout: soon, Buf: buf}, backend.Op{Kind: backend.Read, Buf: buf}},
		{&Write{FD: 7, Timeout: soon, Buf: buf}, backend.Op{Kind: backend.Write, Buf: buf}},
		{&Writev{FD: 7, Timeout: soon, Bufs: bufs}, backend.Op{Kind: backend.Send, Bufs: bufs}},
		{&SendFile{FD: 7, Timeout: soon, File: part}, backend.Op{Kind: backend.SendFile, File: &part}},
		{&Connect{FD: 7, Timeout: soon, Addr: addr}, backend.Op{Kind: backend.Connect, Addr: addr}},
		{&Poll{FD: 7, Timeout: soon, Events: 5}, backend.Op{Kind: backend.Poll, Events: 5}},
		{&Close{FD: 7}, backend.Op{Kind: backend.Close}},
	} {
		r := &recorder{now: time.Minute}
		if err := c.ev.Register(r); err != nil {
			t.Errorf("%T: Register: %v", c.ev, err)
		}
		c.want.FD = 7
		timer := time.Minute + soon
		if c.want.Kind == backend.Close {
			timer = 0
		}
		if len(r.ops) != 1 || !reflect.DeepEqual(r.ops[0], c.want) {
			t.Errorf("%T submits %+v, want %+v", c.ev, r.ops, c.want)
		}
		if r.timer != timer || r.ready != nil {
			t.Errorf("%T sets the timer to %v, want %v, or is ready: %v", c.ev, r.timer, timer, r.ready)
		}
	}
}

// A timeout of 0 is none, a negative one is over at once, and a very long one does not wrap around.
func TestTimeout(t *testing.T) {
	for _, c := range []struct{ now, timeout, want time.Duration }{
		{100, 0, 0},
		{1, 5, 6},
		{100, 5, 105},
		{100, -5, 95},
		{100, -1000, -900},
		{100, math.MinInt64, math.MinInt64 + 100},
		{100, math.MaxInt64, backend.Forever},
		{100, math.MaxInt64 - 100, backend.Forever},
		{100, math.MaxInt64 - 101, backend.Forever - 1},
	} {
		r := &recorder{now: c.now}
		(&Accept{Timeout: c.timeout}).Register(r)
		if len(r.ops) != 1 || r.timer != c.want {
			t.Errorf("at %d a timeout of %d sets the timer to %d, want %d", c.now, c.timeout, r.timer, c.want)
		}
	}
}

// When the time is over the operation is canceled, and its completion decides.
func TestTimeoutEnds(t *testing.T) {
	read := &Read{Timeout: 5}
	accept, into, write, writev := &Accept{Timeout: 5}, &ReadInto{Timeout: 5}, &Write{Timeout: 5}, &Writev{Timeout: 5}
	file, connect, poll := &SendFile{Timeout: 5}, &Connect{Timeout: 5}, &Poll{Timeout: 5}
	for _, ev := range []Event{accept, read, into, write, writev, file, connect, poll} {
		for _, c := range []struct{ comes, want error }{
			{backend.ErrCanceled, backend.ErrDeadline},
			{nil, nil},
			{io.EOF, io.EOF},
			{backend.ErrClosed, backend.ErrClosed},
		} {
			for _, late := range []bool{true, false} { // the event is used again, and has not expired then
				r := &recorder{now: 100}
				ev.Register(r)
				if late {
					over, err := ev.Resume(r, &backend.Completion{Err: backend.ErrDeadline})
					if over || err != nil || !slices.Equal(r.canceled, []backend.Token{r.token()}) {
						t.Errorf("%T: at its timeout it is over: %v, with error %v, and cancels %v", ev, over, err, r.canceled)
					}
					if accept.Conn != -1 && ev == accept {
						t.Errorf("at its timeout %T has the descriptor %d", ev, accept.Conn)
					}
				} else if c.want == backend.ErrDeadline {
					c.want = backend.ErrCanceled
				}
				over, err := ev.Resume(r, &backend.Completion{Token: r.token(), N: 3, Err: c.comes})
				if !over || err != c.want {
					t.Errorf("%T, late %v: over: %v, with error %v, want %v", ev, late, over, err, c.want)
				}
			}
		}
	}
	if accept.Conn != 3 || into.N != 3 || write.N != 3 || writev.N != 3 || poll.Revents != 3 || file.N != 3 {
		t.Errorf("results are %d, %d, %d, %d, %d, %d; want 3", accept.Conn, into.N, write.N, writev.N, poll.Revents, file.N)
	}
}

func TestSleep(t *testing.T) {
	for _, c := range []struct{ d, want time.Duration }{
		{1, 101},
		{time.Hour, time.Hour + 100},
		{math.MaxInt64, backend.Forever},
		{0, 0},
		{-1, 0},
		{math.MinInt64, 0},
	} {
		r := &recorder{now: 100}
		(&Sleep{For: c.d}).Register(r)
		if r.timer != c.want || (c.want == 0) != (len(r.ready) == 1) {
			t.Errorf("Sleep of %d sets the timer to %d, want %d, and is ready %d times", c.d, r.timer, c.want, len(r.ready))
		}
	}
	if over, err := new(Sleep).Resume(nil, &backend.Completion{Err: backend.ErrDeadline}); !over || err != nil {
		t.Errorf("after its time Sleep is over: %v, with error %v", over, err)
	}
}

// The wait is over with the operation, and its results and error are the event's.
func TestResume(t *testing.T) {
	accept, into, write, writev, poll, file := &Accept{}, &ReadInto{}, &Write{}, &Writev{}, &Poll{}, &SendFile{}
	for _, ev := range []Event{accept, into, write, writev, poll, file, &Connect{}, &Close{}, &Read{}} {
		for _, want := range []error{nil, io.EOF} {
			over, err := ev.Resume(&recorder{}, &backend.Completion{Token: 1, N: 3, Err: want})
			if !over || err != want {
				t.Errorf("%T is over: %v, with error %v, want %v", ev, over, err, want)
			}
		}
	}
	if accept.Conn != 3 || into.N != 3 || write.N != 3 || writev.N != 3 || poll.Revents != 3 || file.N != 3 {
		t.Errorf("results are %d, %d, %d, %d, %d, %d; want 3", accept.Conn, into.N, write.N, writev.N, poll.Revents, file.N)
	}
}

// Read gives back what it was lent when it is yielded again, and at Release, once.
func TestReadReleases(t *testing.T) {
	r := &recorder{}
	read := &Read{}
	read.Release()
	for lease := backend.Lease(1); lease <= 3; lease++ {
		read.Register(r)
		read.Resume(r, &backend.Completion{Token: r.token(), Data: []byte("data"), Lease: lease})
	}
	if want := []backend.Lease{1, 2}; !reflect.DeepEqual(r.released, want) {
		t.Errorf("released %v, want %v", r.released, want)
	}
	read.Release()
	read.Release()
	if want := []backend.Lease{1, 2, 3}; !reflect.DeepEqual(r.released, want) || read.Data != nil {
		t.Errorf("released %v, want %v; Data is %q", r.released, want, read.Data)
	}
}
