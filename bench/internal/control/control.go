// Package control is what the benchmark and the processes that it starts say to each other: the benchmark writes words
// to their standard input, they write events to their standard output, a line each. A child ends when its input does,
// so that none outlives a benchmark that was killed.
package control

import "time"

// What the benchmark tells a child.
const (
	Snap  = "snapshot" // to a server: tell what you have done
	Count = "count"    // to a client: tell how many messages were answered so far
	Go    = "go"       // to a client: begin to measure
	Stop  = "stop"     // to a client: end; where it has idle connections, look whether they are served
)

// Event is a line from a child.
type Event struct {
	Name     string    `json:"event"`
	Text     string    `json:"text,omitempty"`     // of Ready, what the server runs on; of Failed, why
	Conns    int       `json:"conns,omitempty"`    // of Connected
	Messages uint64    `json:"messages,omitempty"` // of Counted
	Snapshot *Snapshot `json:"snapshot,omitempty"` // of Snapped
	Result   *Result   `json:"result,omitempty"`   // of Done
}

// Names of events.
const (
	Ready     = "ready"     // a server listens
	Snapped   = "snapped"   // a server's answer to Snap
	Connected = "connected" // a client's connections are there
	Counted   = "counted"   // a client's answer to Count
	Warm      = "warm"      // a client has warmed up, and waits for Go
	Done      = "done"      // a client has measured; its load goes on until Stop
	Checked   = "checked"   // a client's idle connections were served, each
	Failed    = "failed"    // the child cannot go on
)

// Snapshot is what a server has done since it started.
type Snapshot struct {
	Mallocs uint64 `json:"mallocs"`
	GCs     uint32 `json:"gcs"`
	Heap    uint64 `json:"heap"`   // bytes in use
	Stacks  uint64 `json:"stacks"` // bytes in use

	// Counted says that the server counts its system calls itself, and that what follows is set.
	Counted     bool   `json:"counted,omitempty"`
	Syscalls    uint64 `json:"syscalls,omitempty"`
	Waits       uint64 `json:"waits,omitempty"`
	Completions uint64 `json:"completions,omitempty"`
	Switches    uint64 `json:"switches,omitempty"`
	Starved     uint64 `json:"starved,omitempty"`
}

// Mode is a kind of load.
type Mode string

const (
	Closed Mode = "closed" // each connection keeps Depth messages on their way
	Open   Mode = "open"   // messages leave at a fixed rate, whatever comes back
	Idle   Mode = "idle"   // connections are opened and do nothing; Go has a message sent on each
	Churn  Mode = "churn"  // connections are opened, carry one message and are closed
)

// Spec is the first line that a client reads.
type Spec struct {
	Mode     Mode          `json:"mode"`
	Addr     string        `json:"addr"`
	PID      int           `json:"pid"` // the server, whose CPU time is read
	Conns    int           `json:"conns"`
	Idle     int           `json:"idle"`  // Closed: connections beside those, which do nothing
	Size     int           `json:"size"`  // bytes of a message
	Depth    int           `json:"depth"` // Closed: messages on their way on each connection
	Rate     float64       `json:"rate"`  // Open: messages per second
	Spin     bool          `json:"spin"`  // Open: do not sleep between messages; the CPU is the client's alone
	Reset    bool          `json:"reset"` // Churn: close by a reset, which leaves nothing behind
	Warmup   time.Duration `json:"warmup"`
	Duration time.Duration `json:"duration"`
	Threads  int           `json:"threads"`
}

// Result is what a client has measured, between Go and Done.
type Result struct {
	Conns      int     `json:"conns"`
	Seconds    float64 `json:"seconds"`
	Messages   uint64  `json:"messages"`   // answered; of Churn, connections
	ServerCPU  float64 `json:"server_cpu"` // seconds, user and system
	ClientCPU  float64 `json:"client_cpu"` // seconds of the busiest thread
	Mismatches uint64  `json:"mismatches"` // pieces that were not what had been sent
	Errors     uint64  `json:"errors"`     // connections that failed
	Silent     int     `json:"silent"`     // connections without an answer
	Unanswered uint64  `json:"unanswered"` // Open: messages whose answer had not come long after the end
	Late       float64 `json:"late"`       // Open: µs, the 99th percentile of how late the client itself was
	Histogram  string  `json:"histogram"`  // latency in ns, an HDR histogram in its V2 encoding
	P50        float64 `json:"p50"`        // µs, as are the next
	P90        float64 `json:"p90"`
	P99        float64 `json:"p99"`
	P999       float64 `json:"p999"`
	Max        float64 `json:"max"`
	FirstError string  `json:"first_error,omitempty"`
}
