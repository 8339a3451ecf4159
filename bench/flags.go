//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/eyewall/eyewall/bench/internal/machine"
	"github.com/eyewall/eyewall/bench/internal/plan"
	"github.com/eyewall/eyewall/bench/internal/rows"
)

// flags is what the user asked for, checked.
type flags struct {
	plan.Options
	backends   []string
	forms      []string
	accept     []string
	busyPoll   time.Duration
	peers      []string
	serverCPUs []int // empty: to be chosen
	clientCPUs []int
	json       string
	report     string
	compare    *rows.Run
	from       *rows.Run
	args       []string
}

// misuse is an error in the command line.
type misuse struct{ error }

var errHelp = flag.ErrHelp

var (
	forms = []string{"task", "handler"}
	ways  = []string{"each", rows.One}
	peers = []string{"net", "gnet", "nbio", "netpoll", "evio"}
)

// parse reads the command line.
func parse(args []string) (*flags, error) {
	f := &flags{args: args}
	s := flag.NewFlagSet("bench", flag.ContinueOnError)
	s.SetOutput(io.Discard) // or it would follow a mistake with all the flags there are
	kinds := make([]string, len(rows.Kinds))
	for i, k := range rows.Kinds {
		kinds[i] = string(k)
	}
	f.backends, f.forms, f.accept = defaultBackends(), slices.Clone(forms), []string{"each"}
	chosen := slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return k == string(rows.Crowd) }) // it would take 45 s more
	f.Crowd = []int{0, 100, 1000, 5000, 10000}
	f.Conns, f.Sizes, f.Pipeline = []int{1, 100, 1000, 10000}, []int{64, 1 << 10, 16 << 10, 64 << 10, 256 << 10}, []int{1, 4, 16}
	words(s, &f.backends, "backends", nil, "`list` of backends, or of rungs of one: "+strings.Join(f.backends, ",")+", io_uring:basic")
	words(s, &f.forms, "forms", forms, "`list` of the forms of an eyewall server: "+strings.Join(forms, ",")+"; task is Serve, handler is Handle")
	s.Var(peerList{&f.peers}, "peers", "measure other libraries, too: all of "+strings.Join(peers, ",")+"; or -peers=`list`")
	words(s, &f.accept, "accept", ways, "`list` of how several loops get connections: each, by a listener of its own, one, by one that accepts for all")
	s.DurationVar(&f.busyPoll, "busy-poll", 0, "how long a `time` eyewall's loops look for something before they block")
	words(s, &chosen, "measure", kinds, "`list` of what to measure: "+strings.Join(kinds, ","))
	numbers(s, &f.Conns, "conns", 1, 1<<20, "`list` of numbers of connections")
	numbers(s, &f.Sizes, "sizes", 1, 16<<20, fmt.Sprintf("`list` of sizes of a message in bytes, over %d connections; the first is that of all other rows", plan.SizeConns))
	numbers(s, &f.Pipeline, "pipeline", 1, 4096, fmt.Sprintf("`list` of messages on their way at once on each of %d connections", plan.BaseConns))
	numbers(s, &f.Crowd, "crowd", 0, 1<<20, fmt.Sprintf("`list` of numbers of idle connections beside %d busy ones, for -measure crowd", plan.BaseConns))
	s.Func("rates", "`list` of messages per second, for the latency (default: three that suit the machine)", func(v string) error { return parseRates(v, &f.Rates) })
	s.IntVar(&f.Idle, "idle", 10000, "idle `connections` whose memory is measured")
	s.DurationVar(&f.Duration, "duration", 220*time.Millisecond, "`time` of one measurement; twice that for latency")
	s.DurationVar(&f.Warmup, "warmup", 60*time.Millisecond, "`time` of load before it")
	s.IntVar(&f.Rounds, "rounds", 3, "how `often` each measurement is made; the median counts")
	s.IntVar(&f.Loops, "loops", 1, "event `loops` of a server")
	cpus(s, &f.serverCPUs, "server-cpus", "`list` of CPUs for the server, such as 0 or 0,2-5 (default: as many as it has loops)")
	cpus(s, &f.clientCPUs, "client-cpus", "`list` of CPUs for the client, a thread each (default: others)")
	s.StringVar(&f.report, "report", "report.html", "`file` for the report; empty for none")
	s.StringVar(&f.json, "json", "", "`file` for the raw rows")
	compare := s.String("compare", "", "`file` of an earlier run's rows to set beside this one's")
	from := s.String("from", "", "`file` of rows to report on, in place of measuring")
	err := s.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Println("Usage of bench:")
		s.SetOutput(os.Stdout)
		s.PrintDefaults()
		return nil, errHelp
	case err != nil:
		return nil, misuse{err}
	case s.NArg() > 0:
		return nil, misuse{fmt.Errorf("unexpected argument %q", s.Arg(0))}
	}
	if given(s, "crowd") && !slices.Contains(chosen, string(rows.Crowd)) {
		return nil, misuse{errors.New("-crowd is for -measure crowd, which is not asked for")}
	}
	for _, k := range chosen {
		f.Kinds = append(f.Kinds, rows.Kind(k))
	}
	if err := f.check(*compare, *from); err != nil {
		return nil, misuse{err}
	}
	return f, nil
}

// given tells whether a flag was on the command line.
func given(s *flag.FlagSet, name string) (found bool) {
	s.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// check looks at what goes together with what, and reads the files that are named.
func (f *flags) check(compare, from string) (err error) {
	switch {
	case f.Idle < 1 || f.Idle > 1<<20:
		return fmt.Errorf("-idle is %d; it must be from 1 to %d", f.Idle, 1<<20)
	case f.Rounds < 1 || f.Rounds > 1000:
		return fmt.Errorf("-rounds is %d; it must be from 1 to 1000", f.Rounds)
	case f.Loops < 1 || f.Loops > 1024:
		return fmt.Errorf("-loops is %d; it must be from 1 to 1024", f.Loops)
	case f.busyPoll < 0 || f.busyPoll > time.Minute:
		return fmt.Errorf("-busy-poll is %v; it must be from 0 to 1m", f.busyPoll)
	case f.Loops == 1 && slices.Contains(f.accept, rows.One):
		return errors.New("-accept one takes several loops, and -loops is 1")
	case f.Duration < 10*time.Millisecond || f.Duration > 10*time.Minute:
		return fmt.Errorf("-duration is %v; it must be from 10ms to 10m", f.Duration)
	case f.Warmup < 0 || f.Warmup > 10*time.Minute:
		return fmt.Errorf("-warmup is %v; it must be from 0 to 10m", f.Warmup)
	case len(f.Kinds) == 0:
		return errors.New("-measure is empty, so there is nothing to measure")
	case len(f.peers) == 0 && (len(f.backends) == 0 || len(f.forms) == 0 || len(f.accept) == 0):
		return errors.New("there is no server to measure: -backends, -forms or -accept is empty, and -peers is not given")
	}
	if size, depth := slices.Max(f.Sizes), slices.Max(f.Pipeline); f.Sizes[0]*depth > 16<<20 {
		return fmt.Errorf("-pipeline %d of %d bytes is too much on its way on one connection; at most 16 MiB", depth, size)
	}
	for _, b := range f.backends {
		if err := known(b); err != nil {
			return err
		}
	}
	allowed := machine.Allowed()
	for name, list := range map[string][]int{"server-cpus": f.serverCPUs, "client-cpus": f.clientCPUs} {
		for _, c := range list {
			if !slices.Contains(allowed, c) {
				return fmt.Errorf("-%s: CPU %d is not among those that may be used here: %s", name, c, machine.FormatCPUs(allowed))
			}
		}
	}
	if f.json != "" && (f.json == compare || f.json == from || f.json == f.report) {
		return fmt.Errorf("-json %s would overwrite a file that another flag names", f.json)
	}
	if compare != "" {
		if f.compare, err = rows.ReadFile(compare); err != nil {
			return fmt.Errorf("-compare: %w", err)
		}
	}
	if from != "" {
		if f.from, err = rows.ReadFile(from); err != nil {
			return fmt.Errorf("-from: %w", err)
		}
	}
	for name, file := range map[string]string{"json": f.json, "report": f.report} {
		if file == "" {
			continue
		}
		if err := writable(file); err != nil { // now, and not after two minutes
			return fmt.Errorf("-%s: %w", name, err)
		}
	}
	return nil
}

// writable tells whether a file can be written, and leaves things as they were.
func writable(file string) error {
	_, missing := os.Lstat(file)
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	out.Close()
	if missing != nil {
		os.Remove(file)
	}
	return nil
}
