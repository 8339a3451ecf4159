// Package cli is what the example programs' command lines have in common: a mistake is one clear line on stderr.
package cli

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/eyewall/eyewall/backend"
)

// Backend defines the flag -backend. Without it the environment variable EYEWALL_BACKEND chooses, as it does in every
// program that leaves the choice to eyewall.
func Backend() *string {
	return flag.String("backend", cmp.Or(os.Getenv(backend.EnvVar), backend.Auto),
		"`name` of the backend: auto, io_uring, epoll or select; or of one rung of it: io_uring:full, io_uring:basic")
}

// Parse parses the command line, which has flags only. It ends the program where that asks for help, with status 0, or
// is wrong, with status 2.
func Parse() {
	flag.CommandLine.Init(name(), flag.ContinueOnError)
	flag.CommandLine.SetOutput(io.Discard) // or it would follow a mistake with all the flags there are
	err := flag.CommandLine.Parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Printf("Usage of %s:\n", name())
		flag.CommandLine.SetOutput(os.Stdout)
		flag.PrintDefaults()
		os.Exit(0)
	case err != nil:
		Misuse(err)
	case flag.NArg() > 0:
		Misuse(fmt.Errorf("unexpected argument %q", flag.Arg(0)))
	}
	if addr := flag.Lookup("addr"); addr != nil && addr.Value.String() == "" { // a listener would take any port
		Misuse(errors.New("-addr is empty; it must be host:port"))
	}
}

// Addr defines the flag -addr.
func Addr(port string) *string {
	return flag.String("addr", "127.0.0.1:"+port, "`host:port` to listen on, an IPv6 host in brackets: [::1]:"+port)
}

// Misuse ends a program that was called in a wrong way.
func Misuse(err error) { end(2, fmt.Sprintf("%v; -help shows the flags", err)) }

// Fail ends a program that cannot do what it is for.
func Fail(err error) { end(1, err.Error()) }

func end(status int, line string) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", name(), line)
	os.Exit(status)
}

func name() string { return filepath.Base(os.Args[0]) }
