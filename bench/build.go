//go:build linux

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/eyewall/eyewall/bench/internal/rows"
	benchrun "github.com/eyewall/eyewall/bench/internal/run"
)

const module = "github.com/eyewall/eyewall/bench"

// modules is where the peers come from.
var modules = map[string]string{
	"gnet":    "github.com/panjf2000/gnet/v2",
	"nbio":    "github.com/lesismal/nbio",
	"netpoll": "github.com/cloudwego/netpoll",
	"evio":    "github.com/tidwall/evio",
}

// builder builds programs other than this one, with the go command.
type builder struct {
	dir string // where they are; empty until there is one
}

// close removes what was built.
func (b *builder) close() {
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// build builds a package of this module, and returns the program's name.
func (b *builder) build(ctx context.Context, name, pkg string, flags ...string) (program string, err error) {
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "eyewall-bench-"); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(os.Stderr, "bench: building %s\n", name)
	program = filepath.Join(b.dir, strings.ReplaceAll(name, "/", "-"))
	args := slices.Concat([]string{"build", "-o", program}, flags, []string{module + pkg})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = sourceDir()
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s could not be built: %w: %s", name, err, lastLine(text))
	}
	return program, nil
}

// peer builds a peer's server as a program of its own: several of the libraries start threads as soon as they are
// linked, and no other server is to pay for these.
func (b *builder) peer(ctx context.Context, name string) (benchrun.Server, error) {
	program, err := b.build(ctx, name, "/peers/"+name)
	return benchrun.Server{Server: rows.Server{Name: name, Version: versionOf(program, modules[name])}, Argv: []string{program}}, err
}

// otherRing builds this program with the ring that it does not hold.
func (b *builder) otherRing(ctx context.Context, name string) (program string, err error) {
	if strings.HasPrefix(name, giouring) {
		return b.build(ctx, giouring, "", "-tags=giouring", "-ldflags=-checklinkname=0")
	}
	return b.build(ctx, ownRing, "")
}

// sourceDir is where this program's source was when it was built, if it is there still, for go build to find the module.
func sourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	if dir := filepath.Dir(file); filepath.IsAbs(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	return "" // the current directory
}

func versionOf(program, module string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return ""
	}
	if module == "" {
		return strings.TrimPrefix(info.GoVersion, "go")
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return ""
}

// buildFlags is those that this program was built with and that change what it measures.
func buildFlags() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var flags string
	for _, s := range info.Settings {
		if slices.Contains([]string{"-tags", "-ldflags", "-gcflags", "-race"}, s.Key) {
			flags += " " + s.Key + "=" + s.Value
		}
	}
	return flags
}

func lastLine(text []byte) string {
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return lines[len(lines)-1]
}
