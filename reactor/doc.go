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
// # Which goroutine may call what
//
// A loop and all that belongs to it, its tasks, connections and listeners, is used by what runs on that loop: tasks,
// handlers, and functions that were given to it with [Loop.Post]. These never run at the same time, so what only they
// share needs no lock. From other goroutines, and from other loops, use Post. What any goroutine may call says so.
//
// [Conn.Shared] and [Listener.Shared] make a net.Conn and a net.Listener for any goroutine, and [Loop.DialContext] dials
// for one.
//
// # What a task must not do
//
// Block or compute for long, since its whole loop waits meanwhile; call runtime.LockOSThread; keep what [Conn.Next]
// lends longer than it says.
//
// Nor may it lock a sync.Mutex that another task of the loop holds while it waits, or the loop waits for itself: [Mutex]
// is for that. Others' code has such locks. One tls.Conn is for one task: in two, one that reads and one that writes, a
// peer that takes nothing and then breaks the protocol ends the loop's work. Where that is needed, goroutines can have
// the connection ([Conn.Shared]). Its Handshake is for tasks, and so is HandshakeContext with a context that never ends;
// one that can end would close the connection from a goroutine.
package reactor
