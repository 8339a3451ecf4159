package reactor

import (
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
	errors        func(error)
	containPanics bool
	loops         int
	listening     func(Listening)
}

const defaultLinger = 5 * time.Second

// WithBackend chooses the backend, by a name that backend.Open knows: "io_uring", "epoll", "select", "auto". Without it
// the environment variable EYEWALL_BACKEND does, else "auto".
func WithBackend(name string) Option { return func(o *options) { o.backend = name } }

// WithConfig sizes the backend.
func WithConfig(c backend.Config) Option { return func(o *options) { o.config = c } }

// WithLinger bounds how long a connection that is closed goes on sending what was written (default 5 s).
func WithLinger(d time.Duration) Option { return func(o *options) { o.linger = d } }

// WithErrors has report called with each error that nobody else sees: those that tasks return, other than io.EOF, and
// *AcceptError. It is called on the loop and must not block; a server with several loops may call it from all at once.
// Without it Run returns the first error of a task, Serve drops its connections' errors, and a pause in accepting is
// logged with slog.
func WithErrors(report func(error)) Option { return func(o *options) { o.errors = report } }

// WithPanicsContained makes a panic end its task only, as an error for WithErrors, in place of the whole loop.
func WithPanicsContained() Option { return func(o *options) { o.containPanics = true } }

// WithLoops makes Serve run n loops (default 1), each with a listener of its own on one address (SO_REUSEPORT). A
// loop keeps one processor busy at most; GOMAXPROCS should be n+1 or more.
func WithLoops(n int) Option { return func(o *options) { o.loops = n } }

// WithListening has Serve tell, once, that all its loops listen.
func WithListening(tell func(Listening)) Option { return func(o *options) { o.listening = tell } }

// Listening is what a server runs on.
type Listening struct {
	Addr    net.Addr       // where it can be reached
	Backend backend.Choice // what carries it
	Loops   int
	// Stats asks each loop what it has done, and waits for the answers. Any goroutine may call it that no loop runs on.
	Stats func() []Stats
}
