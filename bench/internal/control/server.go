package control

import (
	"flag"
	"runtime"
)

// Flags is what every server is told.
type Flags struct {
	Addr  string
	Loops int
	Size  int // of the messages that will come, in bytes, for servers that must choose their buffers
}

// Define defines the flags in f.
func (o *Flags) Define(f *flag.FlagSet) {
	f.StringVar(&o.Addr, "addr", "127.0.0.1:21000", "`host:port` to listen on")
	f.IntVar(&o.Loops, "loops", 1, "event loops")
	f.IntVar(&o.Size, "size", 64, "`bytes` of a message")
}

// Serve is the main function of a server: it calls run, which calls ready once it listens and returns only with an
// error.
func Serve(run func(o Flags, ready func()) error) {
	var o Flags
	o.Define(flag.CommandLine)
	flag.Parse()
	ServeOn(nil, func(ready func(string)) error {
		return run(o, func() { ready("") })
	})
}

// ServeOn is Serve for a server that counts: more adds its counts to a snapshot, ready is told what it runs on.
func ServeOn(more func(*Snapshot), run func(ready func(on string)) error) {
	go Listen(func(line string) {
		if line == Snap {
			Say(Event{Name: Snapped, Snapshot: snapshot(more)})
		}
	})
	if err := run(func(on string) { Say(Event{Name: Ready, Text: on}) }); err != nil {
		Fail(err)
	}
}

func snapshot(more func(*Snapshot)) *Snapshot {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := &Snapshot{Mallocs: m.Mallocs, GCs: m.NumGC, Heap: m.HeapInuse, Stacks: m.StackInuse}
	if more != nil {
		more(s)
	}
	return s
}
