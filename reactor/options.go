package reactor

import (
	"context"
	"net"
	"time"

	"github.com/eyewall/eyewall/backend"
)

// Option changes how a loop, or a server, is made. Without any it is right for most.
type Option func(*options)

type options struct {
	backend       string
	config        backend.Config
	linger        time.Duration
	drain         time.Duration
	errors        func(error)
	containPanics bool
	loops         int
	oneAcceptor   bool
	pinned        bool
	cpus          []int
	busyPoll      time.Duration
	listening     func(Listening)
	workers       int
	debug         *Debug // nil: off
	backlog       int    // of work for them
}

const defaultLinger = 5 * time.Second

// WithBackend chooses the backend, by a name that backend.Open knows: "io_uring", "epoll", "select", "auto". Without it
// the environment variable EYEWALL_BACKEND does, else "auto".
func WithBackend(name string) Option { return func(o *options) { o.backend = name } }

// WithConfig sizes the backend. Of its receive buffers tasks can hold a quarter while they wait (see Conn.Next).
func WithConfig(c backend.Config) Option { return func(o *options) { o.config = c } }

// WithLinger bounds how long a connection that is closed goes on sending the bytes that were written (default 5 s). Then
// the rest is dropped and the peer gets a reset; see Conn.Close. A negative d is an error.
func WithLinger(d time.Duration) Option { return func(o *options) { o.linger = d } }

// WithDrain has Serve and Handle end as by Shutdown: when their context ends they stop accepting, and connections
// have d to come to their end. Those that are left then are cut short, and the error is a *ShutdownError. A negative
// d is an error.
func WithDrain(d time.Duration) Option { return func(o *options) { o.drain = d } }

// WithErrors has report called with each error that nobody else sees: those that tasks and handlers return, other than
// io.EOF itself, *AcceptError, and *UnsentError of connections whose written bytes were lost. It is called on the loop
// and must not block; a server with several loops may call it from all at once. Without it Run returns the first error
// of a task, and slog is told of the errors of connections at the level Debug and of pauses in accepting at Warn.
func WithErrors(report func(error)) Option { return func(o *options) { o.errors = report } }

// WithPanicsContained makes a panic end its task only, as an error for WithErrors, in place of the whole loop.
func WithPanicsContained() Option { return func(o *options) { o.containPanics = true } }

// WithLoops makes a group, or server, of n loops (default 1). A loop keeps one processor busy at most; GOMAXPROCS should
// be n+1 or more.
func WithLoops(n int) Option { return func(o *options) { o.loops = n } }

// WithOneAcceptor has one loop of a group accept for all, and give each connection to the loop that has the fewest.
// Without it each loop has a listener of its own, and the system spreads connections over those by a hash of their
// addresses (SO_REUSEPORT), which costs less and is less even. Only Linux does, and not for Unix sockets; where it
// does not, one loop accepts in any case.
func WithOneAcceptor() Option { return func(o *options) { o.oneAcceptor = true } }

// WithCPUs binds the thread of the ith loop to the ith of these processors, from the first again after the last; with
// none of them named, to those that the process may run on. It is for Linux; elsewhere there is an error.
func WithCPUs(cpus ...int) Option { return func(o *options) { o.pinned, o.cpus = true, cpus } }

// WithBusyPoll makes a loop that has nothing to do look for something for up to d, before it blocks: an answer then
// waits for no thread to be woken. Meanwhile it keeps its processor busy, and what other goroutines are to run on that
// waits; 0, the default, is right unless the loop has a processor to itself. A negative d is an error.
func WithBusyPoll(d time.Duration) Option { return func(o *options) { o.busyPoll = d } }

// WithOffload bounds what Offload takes: each loop has up to that many goroutines for it, which exist while they have
// work (default 16), and as much work waiting for one of them as queue says (default 1024).
func WithOffload(workers, queue int) Option {
	return func(o *options) { o.workers, o.backlog = workers, queue }
}

// WithListening has Serve tell, once, that all its loops listen.
func WithListening(tell func(Listening)) Option { return func(o *options) { o.listening = tell } }

// Listening is what a server runs on.
type Listening struct {
	Addr    net.Addr       // where it can be reached
	Backend backend.Choice // what carries it
	Loops   int
	// Stats is Group.Stats. Any goroutine may call it but those that run a loop.
	Stats func(context.Context) ([]Stats, error)
	// Dump is Group.Dump: what each task does. Any goroutine may call it that no loop runs on.
	Dump func(context.Context) (Dump, error)
}
