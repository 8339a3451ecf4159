//go:build linux

// Bench compares eyewall's backends on this machine, with each other and, with -peers, with other libraries:
//
//	go -C bench run .
//	go -C bench run . -peers
//	go -C bench run -tags giouring -ldflags=-checklinkname=0 .
//
// It takes about two minutes, with -peers four, prints tables and writes report.html, which needs nothing else to be looked at. -help
// shows the flags. An interrupt (Ctrl-C) ends it early: what was measured until then is written.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/eyewall/eyewall/bench/internal/echo"
	"github.com/eyewall/eyewall/bench/internal/load"
)

// What the program is when the benchmark starts it again. They are not for users.
const (
	asServer = "serve-child"
	asClient = "load-child"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asServer:
			echo.Main(os.Args[2:])
			return
		case asClient:
			load.Main()
			return
		}
	}
	os.Exit(run(os.Args[1:]))
}

// run returns the status that the program ends with: 0; 1 where it could not do what it is for; 2 where it was called in
// a wrong way; 130 where it was interrupted.
func run(args []string) int {
	f, err := parse(args)
	var wrong misuse
	switch {
	case errors.Is(err, errHelp):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(os.Stderr, "bench: %v; -help shows the flags\n", err)
		return 2
	case err != nil:
		return fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second signal ends the program at once; its children end with it
	if f.from != nil {
		err = write(f, f.from)
	} else {
		err = measure(ctx, f)
	}
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "bench: interrupted before anything was measured")
		return 130
	case err != nil:
		return fail(err)
	case ctx.Err() != nil:
		return 130
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	return 1
}
