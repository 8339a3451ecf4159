package reactor

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A result that is there before the deadline beats it, though the loop is held until long after, and however many results
// there are. These tests hold the loop themselves: what they do between two waits of their task.

// lateConns is more than a Poll of any backend returns.
const lateConns = 600

// passes sets deadlines that are not over yet, and holds the loop until they are.
func passes(set func(deadline time.Time)) {
	deadline := time.Now().Add(10 * time.Millisecond)
	set(deadline)
	for !time.Now().After(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
}

func TestLateReads(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var conns []Conn
			var peers []*net.TCPConn
			for range lateConns {
				c, peer := peered(t, task, ListenConfig{}, "127.0.0.1:0")
				conns, peers = append(conns, c), append(peers, peer)
			}
			got := 0
			for _, c := range conns {
				task.Go(func(Task) error {
					data, err := c.Next()
					if err != nil || string(data) != "in time" {
						t.Errorf("Next: %q, %v", data, err)
					} else {
						got++
					}
					return c.Close()
				})
			}
			must(t, "Yield", task.Yield())
			for _, peer := range peers {
				_, err := peer.Write([]byte("in time"))
				must(t, "the peer's Write", err)
			}
			passes(func(deadline time.Time) {
				for _, c := range conns {
					c.SetReadDeadline(deadline)
				}
			})
			when(t, task, "all have read", func() bool { return task.Loop().live == 1 })
			if got != lateConns {
				t.Errorf("%d of %d have read", got, lateConns)
			}
		})
	})
}

// A read that begins after the deadline fails, though there is input, as package net has it.
func TestReadAfterDeadline(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			a, b := pair(t, task)
			a.Write([]byte("ab"))
			must(t, "Flush", a.Flush())
			_, err := b.Read(make([]byte, 1))
			must(t, "Read", err)
			b.SetReadDeadline(time.Now().Add(-1))
			_, err = b.Read(make([]byte, 1))
			wantErr(t, "Read", err, ErrDeadline)
			b.SetReadDeadline(time.Time{})
			if n, err := b.Read(make([]byte, 2)); n != 1 || err != nil {
				t.Errorf("Read: %d, %v", n, err)
			}
			a.Close()
			b.Close()
		})
	})
}

func TestLateAccepts(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			got := 0
			var listeners []*Listener
			for range lateConns {
				ln, err := Listen(task, "tcp", "127.0.0.1:0")
				must(t, "Listen", err)
				listeners = append(listeners, ln)
				task.Go(func(Task) error {
					c, err := ln.AcceptConn()
					if err != nil {
						t.Errorf("AcceptConn: %v", err)
					} else {
						got++
						c.Close()
					}
					return ln.Close()
				})
			}
			must(t, "Yield", task.Yield())
			for _, ln := range listeners {
				peer, err := net.Dial("tcp", ln.Addr().String())
				must(t, "Dial", err)
				defer peer.Close()
			}
			passes(func(deadline time.Time) {
				for _, ln := range listeners {
					ln.SetDeadline(deadline)
				}
			})
			when(t, task, "all have ended", func() bool { return task.Loop().live == 1 })
			if got != lateConns {
				t.Errorf("%d of %d have accepted", got, lateConns)
			}
		})
	})
}

func TestLateWrites(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			var conns []Conn
			var peers []*net.TCPConn
			flushed := 0
			for range lateConns / 10 {
				c, peer := peered(t, task, full, "127.0.0.1:0")
				conns, peers = append(conns, c), append(peers, peer)
				for n(c) == 0 { // until the kernel takes no more
					for n(c) == 0 {
						_, err := c.Write(pattern(8000))
						must(t, "Write", err)
						must(t, "Yield", task.Yield())
					}
					must(t, "Sleep", task.Sleep(2*time.Millisecond))
				}
				task.Go(func(Task) error {
					if err := c.Flush(); err != nil {
						t.Errorf("Flush: %v", err)
					} else {
						flushed++
					}
					return c.Close()
				})
			}
			must(t, "Yield", task.Yield())
			for i, peer := range peers {
				go io.Copy(io.Discard, peer)
				if fd := conns[i].FD(); fd >= 0 { // else the kernel found room after all
					must(t, "poll", writable(fd))
				}
			}
			passes(func(deadline time.Time) {
				for _, c := range conns {
					c.SetWriteDeadline(deadline)
				}
			})
			when(t, task, "all have ended", func() bool { return task.Loop().live == 1 })
			if flushed != len(conns) {
				t.Errorf("%d of %d have flushed", flushed, len(conns))
			}
		})
	})
}

// writable waits, without the loop, until the kernel takes bytes for fd.
func writable(fd int) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		if err != unix.EINTR {
			return err
		}
	}
}

// Dials that were refused say so, and not that their time was over.
func TestLateDials(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		address := refusing(t)
		run(t, name, func(task Task) {
			const dials = min(2*lateConns, manyDials)
			refused := 0
			for range dials {
				task.Go(func(task Task) error {
					err := task.Timeout(time.Millisecond, func() error {
						_, err := Dial(task, "tcp", address)
						return err
					})
					if errors.Is(err, unix.ECONNREFUSED) {
						refused++
					} else {
						t.Errorf("Dial: %v", err)
					}
					return nil
				})
			}
			must(t, "Yield", task.Yield())
			passes(func(time.Time) {})
			when(t, task, "all have ended", func() bool { return task.Loop().live == 1 })
			if refused != dials {
				t.Errorf("%d of %d were refused", refused, dials)
			}
		})
	})
}
