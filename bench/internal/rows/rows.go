// Package rows is what was measured, as it is kept in a file: a JSON value a line, first a Head, then Rows, last a Foot.
package rows

import (
	"fmt"
	"strconv"
	"time"
)

// Kind is a kind of measurement.
type Kind string

const (
	Load    Kind = "load"    // closed loop: CPU and throughput
	Crowd   Kind = "crowd"   // the same, with connections beside that are idle
	Latency Kind = "latency" // open loop: latency at a rate
	Accept  Kind = "accept"  // connections opened, used once and closed
	Memory  Kind = "memory"  // of idle connections
)

// Kinds lists them all, in the order in which they are measured.
var Kinds = []Kind{Load, Crowd, Latency, Accept, Memory}

// Cell is what is measured on every server.
type Cell struct {
	Kind  Kind    `json:"kind"`
	Conns int     `json:"conns"`
	Idle  int     `json:"idle,omitempty"` // Crowd: connections beside those
	Size  int     `json:"size"`           // bytes of a message
	Depth int     `json:"pipeline"`       // messages on their way on each connection
	Rate  float64 `json:"rate,omitempty"` // Latency: messages per second
}

func (c Cell) String() string {
	switch c.Kind {
	case Crowd:
		return fmt.Sprintf("closed loop, %s, pipeline %d, %s busy, %s idle", Bytes(c.Size), c.Depth, Plural(c.Conns, "connection"), Count(float64(c.Idle)))
	case Latency:
		return fmt.Sprintf("open loop, %s messages/s, %s, %s connections", Count(c.Rate), Bytes(c.Size), Count(float64(c.Conns)))
	case Accept:
		return fmt.Sprintf("connect, %s there and back, close; %s at once", Bytes(c.Size), Count(float64(c.Conns)))
	case Memory:
		return fmt.Sprintf("%s idle connections", Count(float64(c.Conns)))
	}
	return fmt.Sprintf("closed loop, %s, pipeline %d, %s", Bytes(c.Size), c.Depth, Plural(c.Conns, "connection"))
}

// Row is one measurement of one server.
type Row struct {
	Cell
	Server string  `json:"server"`
	Round  int     `json:"round"`                // from 0
	Failed string  `json:"failed,omitempty"`     // why there is nothing else
	Others float64 `json:"others_cpu,omitempty"` // of the CPUs used, how many other programs kept busy meanwhile, to a tenth or so

	Seconds   float64 `json:"seconds,omitempty"`
	Messages  uint64  `json:"messages,omitempty"`   // Accept: connections
	PerSecond float64 `json:"per_second,omitempty"` // of these
	CPU       float64 `json:"cpu_us,omitempty"`     // of the server for each of these, µs
	Busy      float64 `json:"busy,omitempty"`       // CPUs that the server kept busy
	ClientCPU float64 `json:"client_cpu,omitempty"` // of its busiest thread, 1 is all of a CPU
	Limited   bool    `json:"client_limited,omitempty"`

	P50        float64 `json:"p50_us,omitempty"`
	P90        float64 `json:"p90_us,omitempty"`
	P99        float64 `json:"p99_us,omitempty"`
	P999       float64 `json:"p999_us,omitempty"`
	Max        float64 `json:"max_us,omitempty"`
	Late       float64 `json:"client_late_p99_us,omitempty"`
	Histogram  string  `json:"histogram,omitempty"`
	Unanswered uint64  `json:"unanswered,omitempty"`

	Allocs       *float64 `json:"allocs,omitempty"`        // for each message
	Syscalls     *float64 `json:"syscalls,omitempty"`      // for each message
	SyscallsFrom string   `json:"syscalls_from,omitempty"` // one of those below
	Switches     *float64 `json:"switches,omitempty"`      // of tasks, for each message
	GCs          uint32   `json:"gcs,omitempty"`

	RSS     float64 `json:"rss_per_conn,omitempty"`        // bytes
	Pinged  float64 `json:"rss_per_conn_pinged,omitempty"` // bytes, once each has carried a message
	Heap    float64 `json:"heap_per_conn,omitempty"`       // bytes in use
	Stacks  float64 `json:"stack_per_conn,omitempty"`      // bytes in use
	BaseRSS float64 `json:"rss_without,omitempty"`         // bytes, with one connection
}

// Disturbed is the Others from which on a measurement is in doubt.
const Disturbed = 0.25

// Where a count of system calls comes from.
const (
	FromKernel  = "tracepoint" // all of them, counted by the kernel
	FromBackend = "stats"      // all that the backend made
	FromIO      = "io"         // reads and writes only: a lower bound
)

// Head is what a run was asked to do, and on what.
type Head struct {
	Format  int       `json:"eyewall_bench"`
	Started time.Time `json:"started"`
	Command string    `json:"command"`
	Rounds  int       `json:"rounds"`
	Window  float64   `json:"window_s"` // of one measurement
	Loops   int       `json:"loops"`
	Polling float64   `json:"busy_poll_s,omitempty"` // how long eyewall's loops look for something before they block

	ServerCPUs string   `json:"server_cpus"`
	ClientCPUs string   `json:"client_cpus"`
	Shared     bool     `json:"shared_cpus,omitempty"` // they have CPUs in common
	Servers    []Server `json:"servers"`
	Facts      []Fact   `json:"facts"`
}

// Server is one that was to be measured.
type Server struct {
	Name    string `json:"name"`
	Backend string `json:"backend,omitempty"` // eyewall's
	Form    string `json:"form,omitempty"`    // task or handler
	Accept  string `json:"accept,omitempty"`  // one: a loop accepts for all; empty: each for itself
	Version string `json:"version,omitempty"` // a peer's
	On      string `json:"on,omitempty"`      // the backend with its rung, once it ran
}

// One is Accept where a loop accepts for all.
const One = "one"

// Peer tells whether the server is not eyewall's.
func (s Server) Peer() bool { return s.Backend == "" }

// Fact is something to know of the machine.
type Fact struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Foot is what is known at the end only.
type Foot struct {
	Ended       time.Time         `json:"ended"`
	Planned     int               `json:"planned"` // measurements
	Interrupted bool              `json:"interrupted,omitempty"`
	Others      float64           `json:"others,omitempty"` // of the CPUs used, how many other programs kept busy meanwhile
	On          map[string]string `json:"on,omitempty"`     // by the server's name
	Notes       []string          `json:"notes,omitempty"`
}

// Format is the version of the file.
const Format = 1

// Count writes a number with its thousands apart.
func Count(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural writes n things.
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(float64(n)) + " " + thing + "s"
}

// Bytes writes a size.
func Bytes(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + " MiB"
	case n >= 1<<10 && n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + " KiB"
	}
	return strconv.Itoa(n) + " B"
}
