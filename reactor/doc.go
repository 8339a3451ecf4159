// Package reactor runs tasks, which are straight-line code, on event loops. Where a task has to wait it yields, and the
// loop resumes it when what it waits for is there: there is no goroutine per connection, and no callback.
//
//	err := reactor.Serve(ctx, "tcp", ":8888", func(c reactor.Conn) error {
//		for {
//			data, err := c.Next() // lent until c is next read or closed
//			if err != nil {
//				return err // io.EOF: the peer is done
//			}
//			c.Write(data) // goes out when this task next waits
//		}
//	})
//
// [Serve] is a server in one call, a task for each connection; [Handle] takes a handler that is called when something
// has come. Below them is the [Loop]: [New], [Loop.Go] and [Loop.Run], with [Listen] and [Dial] in tasks. A [Task] waits
// for anything that package event describes by [Task.Await]. A [Group] is several loops that run together, each on a
// thread of its own, with servers and tasks spread over them.
//
// # Tasks that belong together
//
// [Task.Together] runs children that end before it does; the first error cancels the others, and none is left behind.
// [Start] gives their results, [First] takes the first one's, [Task.AwaitFirst] waits for the first of several events.
// [Task.Timeout] and [Task.With] end the waits of a block of code, [Task.Shield] protects one, and [Task.Context] is for
// what takes a context. Among tasks of one loop there are [Mutex], [Semaphore], [Cond], [WaitGroup], [Queue] and
// [Promise]; from other goroutines come a promise of [NewPromise], a [Mailbox], what [Receive] takes from a channel, and
// the end of blocking work that [Offload] has taken off the loop. Where tasks wait for one another only, [Loop.Run] ends
// with a [DeadlockError].
//
// # Sending on
//
// [Conn.Splice] sends on what has come to another connection, and io.Copy all that comes: large amounts go through pipes
// (splice(2)), without a copy, where the backend has some. io.Copy and io.CopyN from a file are sendfile(2). What could
// not be sent on, because of a deadline, a cancellation or an error, is still there to be read.
//
// # Slow peers
//
// A peer that does not read, or sends and is not read, holds nothing that other connections need. Received bytes lie in
// buffers that all connections of a loop share. A task that waits while it holds some ([Conn.Next], [Conn.Splice]) keeps
// its buffer, until tasks hold a quarter of them; then it holds a copy. Bytes that nobody reads are copied out of the
// buffers after 10 ms, or at once while a receive waits for a buffer. A pipe that has been held for 10 ms is given up if a
// receive wants one.
//
// The memory for all that is bounded. A connection stops receiving at 256 KiB of unread bytes, and TCP holds its peer
// back. Beyond 64 MiB of copies in a loop, a connection receives only while somebody waits for its input, one buffer
// at a time. So received bytes take no more than the receive buffers (backend.Config), 64 MiB, and for each
// connection a piece of the size of one receive buffer, and the bytes that its socket had when the copies became that
// many. [Stats] has the figures: Held, Kept and Copies. Bytes that are written and not sent take up to 128 KiB for
// each connection.
//
// # Tests for leaks
//
// When Run has returned, no goroutine of the loop is left. While a loop runs, each of its tasks that has begun is a
// goroutine to whoever counts them, and so is each coroutine that has no task: it is kept for the next one, and ended
// when it was idle for a second or two. A test with go.uber.org/goleak that has a loop running in the background passes
// over all that with
//
//	goleak.IgnoreAnyFunction("github.com/eyewall/eyewall/reactor.(*Loop).run"),
//	goleak.IgnoreAnyFunction("github.com/eyewall/eyewall/reactor.(*Loop).main"),
//	goleak.IgnoreAnyFunction("github.com/eyewall/eyewall/reactor.(*coroutine).main"),
//	goleak.IgnoreAnyFunction("github.com/eyewall/eyewall/reactor.(*debugging).watch"), // in debug mode
//
// [Loop.Dump] tells of tasks that were left behind.
//
// # Which goroutine may call what
//
// A loop, its tasks, connections and listeners, and the primitives that its tasks share, may be used by code that
// runs on that loop: tasks, handlers, and functions given to [Loop.Post]. These never run at the same time, so that
// data which only they share needs no lock. From other goroutines, and from other loops, use Post. Functions and
// methods that any goroutine may call say so.
//
// In this a [Conn] and a [Listener] differ from package net's, which any goroutine may use. A call that belongs to a
// loop and comes from another goroutine does nothing but tell:
//
//   - If it returns an error, that is, or wraps, [ErrWrongGoroutine].
//   - If it does not, such as [Task.Cancel], [Task.Go] or [Mutex.Unlock], it panics with ErrWrongGoroutine.
//   - [Conn.FD], [Conn.LocalAddr] and [Conn.RemoteAddr] answer as for a closed connection, since libraries
//     call them in order to log.
//
// This takes about three nanoseconds a call on amd64 and arm64. On other architectures, and in a build with the tag
// purego, only debug mode looks ([WithDebug]), and without it such a call is a data race. Before a loop runs, and once
// it has ended, nothing is refused. A [Mutex] and its like belong to the first loop that uses them, until that ends.
//
// A library that uses its net.Conn on its caller's goroutine works in a task unchanged: crypto/tls, bufio,
// encoding/gob, http.ReadRequest, fasthttp, gobwas/ws. One with goroutines of its own does not: net/http's Server and
// Transport, golang.org/x/crypto/ssh, go-redis, pgx. For those [Conn.Shared] and [Listener.Shared] make a net.Conn and
// a net.Listener for any goroutine, and [Loop.DialContext] dials for one; they are used by goroutines, not by tasks,
// whose loop would wait. What looks for a *net.TCPConn itself does not find one: google.golang.org/grpc sets no
// TCP_USER_TIMEOUT there.
//
// An iterator of iter.Pull that was made in a task runs on the loop, and may wait, whichever of the loop's tasks
// calls next. To call next or stop from another goroutine, or in a task those of a Pull that was made by another
// goroutine, is a fatal error of the Go runtime ("OS thread locking must match"), which no package can prevent. A
// range over an iterator has no such border.
//
// # What a task must not do
//
// Block or compute for long, since its whole loop waits meanwhile; call runtime.LockOSThread; use the bytes that
// [Conn.Next] has lent after the connection was next read or closed, or after [Conn.Release].
//
// Nor may it lock a sync.Mutex that another task of the loop holds while it waits, or the loop waits for itself: [Mutex]
// is for that. Others' code has such locks. One tls.Conn is for one task: in two, one that reads and one that writes, a
// peer that takes nothing and then breaks the protocol ends the loop's work. Where that is needed, goroutines can have
// the connection ([Conn.Shared]). Its Handshake is for tasks, and so is HandshakeContext with a context that never ends;
// one that can end would close the connection from a goroutine.
package reactor
