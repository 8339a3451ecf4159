package reactor

import (
	"io"
	"testing"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// unreadConn is a connection with n unread bytes, each in a chunk of its own, that nobody waits for.
func unreadConn(t testing.TB, task Task, n int) (c Conn, far Conn) {
	t.Helper()
	far, c = pair(t, task)
	reader := task.Go(func(Task) error { _, err := c.Read(make([]byte, 1)); return err }) // so that it receives
	for i := range n + 1 {
		_, err := far.Write([]byte{byte(i - 1)})
		must(t, "Write", err)
		must(t, "Flush", far.Flush())
		when(t, task, "it has come", func() bool { return reader.Done() && c.c.unread() == i })
	}
	return c, far
}

// While a receive waits for a buffer nothing unread stays in one, however short a time it is unread. All that a
// connection has goes to one piece of memory, in order.
func TestUnreadMakesRoomAtOnce(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			l := task.Loop()
			const n = 50
			c, far := unreadConn(t, task, n)
			l.input.unread.starved-- // as if the backend counted one more
			l.keepUnread()
			if all := c.c.in; all.next != all || all.lease != 0 || c.c.unread() != n {
				t.Errorf("%d of %d bytes are unread; the first has lease %d", c.c.unread(), n, all.next.lease)
			}
			if kept := l.Stats().Kept; kept < n || kept > 2*n {
				t.Errorf("%d bytes take %d of memory", n, kept)
			}
			got := make([]byte, n)
			_, err := io.ReadFull(c, got)
			must(t, "ReadFull", err)
			for i, b := range got {
				if b != byte(i) {
					t.Fatalf("byte %d is %d", i, b)
				}
			}
			if kept := l.Stats().Kept; kept != 0 {
				t.Errorf("%d bytes are kept after all", kept)
			}
			c.Close()
			far.Close()
		})
	})
}

// What comes later joins what was copied out before, and what was read of that meanwhile is read no more.
func TestUnreadJoins(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			c, far := unreadConn(t, task, 4)
			sent, read := 4, 0
			for range 100 {
				for range 3 {
					far.Write([]byte{byte(sent)})
					must(t, "Flush", far.Flush())
					sent++
				}
				when(t, task, "it has come", func() bool { return c.c.unread() == sent-read })
				c.c.copyOut()
				if c.c.in != c.c.in.next {
					t.Fatal("it is in several pieces")
				}
				p := make([]byte, 2)
				_, err := io.ReadFull(c, p)
				must(t, "Read", err)
				for _, b := range p {
					if b != byte(read) {
						t.Fatalf("byte %d is %d", read, b)
					}
					read++
				}
			}
			if kept := task.Loop().Stats().Kept; kept > 4*(sent-read)+64 {
				t.Errorf("%d unread bytes take %d", sent-read, kept)
			}
			c.Close()
			far.Close()
			if kept := task.Loop().Stats().Kept; kept != 0 {
				t.Errorf("%d bytes are kept after Close", kept)
			}
		})
	})
}

// A look at the unread takes no time for those that are neither new nor due.
func TestUnreadLook(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			l := task.Loop()
			q := &l.input.unread
			c, far := unreadConn(t, task, 1)
			when(t, task, "it is copied out", func() bool { return c.c.in.lease == 0 && q.list.n == 0 })
			now := l.backend.Now()
			c.c.markUnread()
			q.look(now+time.Hour, l.input.seq)
			for range 1000 { // they would panic
				q.list.push(unread{since: now + time.Hour})
				q.seen++
			}
			if again := l.keepUnread(); again != now+time.Hour+maxKeep {
				t.Errorf("it is to be looked at again in %v", again-now)
			}
			*q = unreadQueue{starved: q.starved}
			c.Close()
			far.Close()
		})
	})
}

// Bytes that have come since the connection was put in the queue get their time, too; but not for longer than that again.
func TestUnreadOfLater(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			l := task.Loop()
			c, far := unreadConn(t, task, 1)
			q := &l.input.unread
			when(t, task, "the queue is empty", func() bool { return q.list.n == 0 })
			for c.c.in.lease == 0 { // once, or more often on a machine that is busy
				_, err := io.ReadFull(c, make([]byte, 1))
				must(t, "ReadFull", err)
				far.Write([]byte{1})
				must(t, "Flush", far.Flush())
				when(t, task, "it has come", func() bool { return c.c.unread() == 1 })
			}
			*q = unreadQueue{starved: q.starved}
			c.c.isUnread = false
			c.c.markUnread()
			now := l.backend.Now()
			q.look(now-2*maxKeep, l.input.seq-1) // before it came
			if again := l.keepUnread(); c.c.in.lease == 0 || again < now+maxKeep {
				t.Errorf("it is copied out: %v; again in %v", c.c.in.lease == 0, again-now)
			}
			q.list.at(0).since = now - maxKeep
			if again := l.keepUnread(); c.c.in.lease != 0 || again != backend.Forever {
				t.Errorf("it is copied out: %v; again in %v", c.c.in.lease == 0, again-now)
			}
			c.Close()
			far.Close()
		})
	})
}
