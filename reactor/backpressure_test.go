package reactor

import (
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// noise is a stream of bytes that can be had again.
func noise() io.Reader { return rand.NewChaCha8([32]byte{1}) }

// A peer that does not read makes the writer wait, and what it wrote takes little memory. Once the peer reads, all comes.
func TestPeerThatDoesNotRead(t *testing.T) {
	for what, size := range map[string]int{"small": 1000, "large": 40_000} {
		t.Run(what, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, name string) {
				run(t, name, func(task Task) {
					a, peer := peered(t, task, ListenConfig{SendBuffer: 64 << 10}, "127.0.0.1:0")
					peer.SetReadBuffer(64 << 10)
					written, stop := 0, false
					sum := crc32.NewIEEE()
					writer := task.Go(func(Task) error {
						source, block := noise(), make([]byte, size)
						for !stop {
							source.Read(block)
							n, err := a.Write(block)
							if n != size || err != nil {
								t.Errorf("Write: %d, %v", n, err)
							}
							sum.Write(block)
							written += n
						}
						return a.Close()
					})
					before := -1
					when(t, task, "the writer waits", func() bool {
						stands := written == before && written > 0
						before = written
						must(t, "Sleep", task.Sleep(3*time.Millisecond))
						return stands
					})
					if n := a.c.gathered() + len(a.c.out.flight); n > 2*corkLimit {
						t.Errorf("%d bytes lie in the connection", n)
					}
					if sent := written - a.c.gathered() - len(a.c.out.flight); sent > 16<<20 {
						t.Errorf("%d bytes went out, though nobody reads", sent)
					}
					got := crc32.NewIEEE()
					var n int64
					stop = true
					off(t, task, func() {
						var err error
						n, err = io.Copy(got, peer)
						if err != nil {
							t.Errorf("the peer's Read: %v", err)
						}
					})
					when(t, task, "the writer has ended", writer.Done)
					if int(n) != written || got.Sum32() != sum.Sum32() {
						t.Errorf("the peer got %d bytes of sum %x, want %d of %x", n, got.Sum32(), written, sum.Sum32())
					}
				})
			})
		})
	}
}

// A connection that nobody reads stops receiving at a bound, and takes no receive buffer from the others. Once it is
// read it goes on, and no byte is lost.
func TestReaderThatDoesNotRead(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		const total = 12 << 20
		run(t, name, func(task Task) {
			a, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
			want := crc32.NewIEEE()
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				if _, err := io.CopyN(io.MultiWriter(peer, want), noise(), total); err != nil {
					t.Errorf("the peer's Write: %v", err)
				}
				peer.CloseWrite()
			}()
			got := crc32.NewIEEE()
			n := 0
			for round := range 3 {
				// One read makes it receive; then nobody does.
				data, err := a.Next()
				must(t, "Next", err)
				got.Write(data)
				n += len(data)
				before := -1
				when(t, task, "it no longer receives", func() bool {
					stands := a.c.unread() == before && !a.c.receiving
					before = a.c.unread()
					must(t, "Sleep", task.Sleep(2*time.Millisecond))
					return stands
				})
				// Some may come with the one beyond the bound, and in the turn in which the cancel is on its way.
				if b := a.c.unread(); b < maxUnread || b > 8*maxUnread {
					t.Errorf("it stopped with %d bytes unread; the bound is %d", b, maxUnread)
				}
				when(t, task, "it holds no receive buffer", func() bool { return outstanding(task.Loop()) <= 1 }) // Next's
				for a.c.in != nil && round < 2 {
					data, err := a.Next()
					must(t, "Next", err)
					got.Write(data)
					n += len(data)
				}
			}
			buf := make([]byte, 50_000)
			for {
				m, err := a.Read(buf)
				got.Write(buf[:m])
				n += m
				if err != nil {
					wantErr(t, "the end", err, io.EOF)
					break
				}
			}
			<-sent
			if n != total || got.Sum32() != want.Sum32() {
				t.Errorf("read %d bytes of sum %x, want %d of %x", n, got.Sum32(), total, want.Sum32())
			}
			must(t, "Close", a.Close())
		}, WithConfig(backend.Config{BufferSize: 16 << 10}))
	})
}

// fewBuffers is a pool that one connection could use up.
var fewBuffers = WithConfig(backend.Config{BufferSize: 4096, BufferCount: 4})

// Connections with much that is unread do not keep others from receiving.
func TestUnreadStarvesNoOther(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			want := pattern(50_000)
			var idle []Conn
			for range 3 {
				a, b := pair(t, task)
				idle = append(idle, b)
				task.Go(func(Task) error {
					if _, err := a.Write(want); err != nil {
						t.Errorf("Write: %v", err)
					}
					return a.Close()
				})
				first := make([]byte, 1)
				if n, err := b.Read(first); n != 1 || first[0] != want[0] || err != nil {
					t.Errorf("Read: %d, %v", n, err)
				}
			}
			c, d := pair(t, task)
			for range 20 {
				c.Write([]byte("ping"))
				data, err := d.Next()
				must(t, "Next", err)
				same(t, "what came", data, []byte("ping"))
			}
			for _, b := range idle {
				got, err := io.ReadAll(b)
				must(t, "ReadAll", err)
				same(t, "what was unread", got, want[1:])
				must(t, "Close", b.Close())
			}
			must(t, "Close", c.Close())
			must(t, "Close", d.Close())
		}, fewBuffers)
	})
}

// Tasks that keep what was lent to them are lent copies when they are many, and what each has stays as it is.
func TestLentBuffersRunOut(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			const conns = 12
			block := pattern(4096)
			held, release := 0, false
			var list []Task
			for range conns {
				a, b := pair(t, task)
				a.Write(block)
				must(t, "Flush", a.Flush())
				list = append(list, task.Go(func(task Task) error {
					defer a.Close()
					defer b.Close()
					for got := 0; got < len(block); {
						data, err := b.Next()
						must(t, "Next", err)
						same(t, "what is lent", data, block[got:got+len(data)])
						held++
						for !release {
							must(t, "Sleep", task.Sleep(100*time.Microsecond))
						}
						same(t, "what is lent, later", data, block[got:got+len(data)])
						got += len(data)
						held--
					}
					return nil
				}))
			}
			when(t, task, "all have theirs", func() bool { return held == conns })
			s := task.Loop().Stats()
			if s.Held != 1 || s.Copies != conns-1 || s.Kept < (conns-1)*1000 || s.Kept > 2*conns*len(block) {
				t.Errorf("%d of 4 buffers are held, and there are %d copies for %d others, of %d bytes", s.Held, s.Copies, conns-1, s.Kept)
			}
			release = true
			for _, other := range list {
				when(t, task, "it has ended", other.Done)
			}
			if s := task.Loop().Stats(); s.Held != 0 || s.Kept != 0 {
				t.Errorf("%d buffers are held, and %d bytes are kept after all", s.Held, s.Kept)
			}
		}, fewBuffers)
	})
}
