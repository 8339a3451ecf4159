package reactor

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
	"github.com/eyewall/eyewall/internal/testenv"
)

// holdSize is the bytes that each holder is sent: some are lent to it, and more are unread meanwhile.
const holdSize = 3 * 4096

// holding is connections whose tasks hold received bytes while they wait for something else.
type holding struct {
	testing.TB
	held   int  // tasks that hold some
	let    bool // they are to let go
	onward Conn // whose peer does not read before that, and which is full
}

// until waits until the holders are to let go.
func (s *holding) until(task Task) {
	s.held++
	for !s.let {
		must(s, "Sleep", task.Sleep(time.Millisecond))
	}
}

// heldBlock is the bytes that the ith holder is sent: no two are alike, and none is like those of fill.
func heldBlock(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, holdSize) }

// holdersWays are how a task may hold what it has received on b, the ith such connection. Each reads all of it at last.
var holdersWays = map[string]func(s *holding, task Task, b Conn, i int){
	"Next, Sleep": func(s *holding, task Task, b Conn, i int) {
		data, err := b.Next()
		must(s, "Next", err)
		s.until(task)
		got := slices.Clone(data)
		rest, err := io.ReadAll(b)
		must(s, "ReadAll", err)
		same(s, "what was held", append(got, rest...), heldBlock(i))
	},
	"Next, Write": func(s *holding, task Task, b Conn, i int) {
		s.held++
		for {
			data, err := b.Next()
			if err == io.EOF {
				return
			}
			must(s, "Next", err)
			_, err = s.onward.Write(data)
			must(s, "Write", err)
			must(s, "Flush", s.onward.Flush())
		}
	},
	"Splice": func(s *holding, task Task, b Conn, i int) {
		s.held++
		for {
			_, err := b.Splice(s.onward)
			if err == io.EOF {
				return
			}
			must(s, "Splice", err)
		}
	},
	"io.Copy": func(s *holding, task Task, b Conn, i int) {
		s.held++
		_, err := io.Copy(s.onward, b)
		must(s, "Copy", err)
	},
	"gateway": func(s *holding, task Task, b Conn, i int) {
		up, far := pair(s, task)
		task.Go(func(task Task) error {
			s.until(task)
			_, err := far.Write([]byte("answer"))
			must(s, "Write", err)
			return far.Close()
		})
		data, err := b.Next()
		must(s, "Next", err)
		answer, err := up.Next()
		must(s, "Next", err)
		same(s, "the answer", answer, []byte("answer"))
		got := slices.Clone(data)
		rest, err := io.ReadAll(b)
		must(s, "ReadAll", err)
		same(s, "what was held", append(got, rest...), heldBlock(i))
		up.Close()
	},
}

// bufferCounts are of pools that holders could use up.
var bufferCounts = []int{1, 2, 16, 64}

func buffersOf(n int) Option { return WithConfig(backend.Config{BufferSize: 4096, BufferCount: n}) }

// However many tasks hold received bytes while they wait, each gets its own, and others are served.
func TestHoldersStarveNobody(t *testing.T) {
	for way, hold := range holdersWays {
		t.Run(way, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				for _, count := range bufferCounts {
					if testenv.Race && count > 16 {
						continue // it takes long, and tells nothing new
					}
					run(t, name, func(task Task) { holdersStarveNobody(t, task, hold, 2*count+8) }, buffersOf(count))
				}
			})
		})
	}
}

func holdersStarveNobody(t *testing.T, task Task, hold func(*holding, Task, Conn, int), holders int) {
	s := &holding{TB: t}
	onward, sink := peered(t, task, full, "127.0.0.1:0")
	s.onward = onward
	filled := fill(t, task, onward)
	fast, far := pair(t, task)
	served := func() {
		far.SetReadDeadline(time.Now().Add(limit / 2))
		for range 20 {
			fast.Write([]byte("ping"))
			data, err := far.Next()
			must(t, "Next of another", err)
			same(t, "what came", data, []byte("ping"))
		}
	}
	var list []Task
	for i := range holders {
		a, b := pair(t, task)
		_, err := a.Write(heldBlock(i))
		must(t, "Write", err)
		must(t, "Close", a.Close())
		list = append(list, task.Go(func(task Task) error {
			hold(s, task, b, i)
			return b.Close()
		}))
		if i%16 == 0 {
			served()
		}
	}
	when(t, task, "all hold some", func() bool { return s.held == holders })
	must(t, "Sleep", task.Sleep(2*maxKeep))
	served()
	s.let = true
	var got [256]int
	done := make(chan int)
	go func() {
		total := 0
		buf := make([]byte, 64<<10)
		for {
			n, err := sink.Read(buf)
			total += n
			for _, b := range buf[:n] {
				got[b]++
			}
			if err != nil {
				done <- total
				return
			}
		}
	}()
	for _, holder := range list {
		when(t, task, "a holder has ended", holder.Done)
	}
	must(t, "Close", onward.Close())
	if total := received(t, task, done); total != filled { // some have sent on theirs
		for i := range holders {
			if got[i+1] != holdSize {
				t.Errorf("%d bytes of holder %d were sent on, want %d", got[i+1], i, holdSize)
			}
		}
	}
	served()
	if n := outstanding(task.Loop()); n > 1 {
		t.Errorf("%d buffers are lent after all", n)
	}
	fast.Close()
	far.Close()
}

// Handlers that wait hold no more, be it what they have read or what they have not.
func TestHandlersThatWaitStarveNobody(t *testing.T) {
	for when, wait := range map[string]func(c Conn, until func()) ([]byte, error){
		"after Next": func(c Conn, until func()) ([]byte, error) {
			data, err := c.Next()
			until()
			return data, err
		},
		"before Next": func(c Conn, until func()) ([]byte, error) {
			until()
			return c.Next()
		},
	} {
		t.Run(when, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				for _, count := range bufferCounts {
					var held atomic.Int64
					var let atomic.Bool
					var slow sync.Map // the addresses of clients whose handlers wait
					s := start(t, name, Handle, func(c Conn) error {
						if _, waits := slow.Load(c.RemoteAddr().String()); !waits {
							return echoOnce(c)
						}
						data, err := wait(c, func() {
							held.Add(1)
							for !let.Load() && c.Task().Sleep(time.Millisecond) == nil {
							}
						})
						if err != nil {
							return err
						}
						_, err = c.Write(data)
						return err
					}, buffersOf(count))
					fast := s.dial(t)
					var clients []net.Conn
					holders := 2*count + 8
					for i := range holders {
						c := s.dial(t)
						slow.Store(c.LocalAddr().String(), true)
						clients = append(clients, c)
						_, err := c.Write(heldBlock(i)[:1000])
						must(t, "Write", err)
						ask(t, fast, "ping")
					}
					if !eventually(func() bool { return held.Load() >= int64(holders) }) {
						t.Errorf("%d of %d handlers were called", held.Load(), holders)
					}
					ask(t, fast, "ping")
					let.Store(true)
					for i, c := range clients {
						answer := make([]byte, 1000)
						if _, err := io.ReadFull(c, answer); err != nil {
							t.Fatalf("holder %d: %v", i, err)
						}
						same(t, fmt.Sprintf("the answer to holder %d", i), answer, heldBlock(i)[:1000])
						c.Close()
					}
					must(t, "Handle", s.stop(t))
				}
			})
		})
	}
}
