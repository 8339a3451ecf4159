package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed testdata/net.go
var addedToNet []byte

//go:embed testdata/suite_test.go
var addedToSuite string

// insertions is the code that goes to the beginning of package net's functions. %s is a method's receiver.
var insertions = map[string]string{
	"Dialer.DialContext": `if ctx != nil && eyewallDials(%[1]s, network) {
		return eyewallDial(ctx, %[1]s, network, address)
	}`,
	"dialTCP": `if raddr != nil {
		var local Addr
		if laddr != nil { local = laddr }
		c, err, handled := eyewallDialFrom[*TCPConn](ctx, dialer, network, local, raddr.String())
		if handled { return c, err }
	}`,
	"dialUnix": `if raddr != nil {
		var local Addr
		if laddr != nil { local = laddr }
		c, err, handled := eyewallDialFrom[*UnixConn](ctx, dialer, network, local, raddr.String())
		if handled { return c, err }
	}`,
	"ListenConfig.Listen": `if eyewallListens(%[1]s, network) { return eyewallListen(ctx, %[1]s, network, address) }`,
	"ListenTCP": `if eyewallListens(new(ListenConfig), network) {
		if laddr == nil { laddr = new(TCPAddr) }
		return eyewallListenAt[*TCPListener](network, laddr.String())
	}`,
	"ListenUnix": `if laddr != nil && eyewallListens(new(ListenConfig), network) {
		return eyewallListenAt[*UnixListener](network, laddr.String())
	}`,

	// Copies in the kernel know of package net's descriptors only.
	"spliceFrom": `if eyewallHides(c, r) { return 0, nil, false }`,
	"spliceTo":   `if eyewallHides(c, w) { return 0, nil, false }`,
	"sendFile":   `if eyewallHides(c, r) { return 0, nil, false }`,
}

// standIns is the types whose exported methods are those of what they stand for, by the field of netFD that has it.
var standIns = map[string]string{
	"conn":         "eyewall",
	"TCPConn":      "eyewall",
	"UnixConn":     "eyewall",
	"TCPListener":  "eyewallListener",
	"UnixListener": "eyewallListener",
}

// datagrams is UnixConn's methods for datagrams, which eyewallUnixConn has.
var datagrams = []string{"ReadFrom", "ReadFromUnix", "ReadMsgUnix", "WriteTo", "WriteToUnix", "WriteMsgUnix"}

const (
	fields = "\n\teyewall *eyewallConn\n\teyewallListener *eyewallListener\n"

	// The loop's goroutines are no leak of net/http's, whose tests look for goroutines that are left; see the package
	// reactor's "Tests for leaks".
	leakFilter     = `strings.Contains(stack, "os/signal.signal_recv") ||`
	leakFilterMore = leakFilter + `
			strings.Contains(stack, "eyewall/reactor.(*Loop).") ||
			strings.Contains(stack, "eyewall/reactor.(*coroutine).main") ||`
)

// overlay writes what replaces files of package net, and of the package whose suite is to run, to dir. It returns the
// name of a file for go test's flag -overlay. Every edit must find its place.
func overlay(goroot, suite, dir string) (string, error) {
	o := overlays{dir: dir, replace: map[string]string{}}
	net := filepath.Join(goroot, "src", "net")
	of := filepath.Join(goroot, "src", filepath.FromSlash(suite))

	if err := o.editNet(net); err != nil {
		return "", err
	}
	if suite == "net/http" {
		if err := o.editText(filepath.Join(of, "main_test.go"), leakFilter, leakFilterMore); err != nil {
			return "", err
		}
	}
	name := filepath.Base(of)
	external := strings.Replace(addedToSuite, "package suite_test", "package "+name+"_test", 1)
	if external == addedToSuite {
		return "", fmt.Errorf("testdata/suite_test.go has no package clause for %s", suite)
	}
	for path, text := range map[string][]byte{
		filepath.Join(net, "eyewall.go"):     addedToNet,
		filepath.Join(of, "eyewall_test.go"): []byte(external),
	} {
		if _, err := os.Stat(path); err == nil {
			return "", fmt.Errorf("%s is there already", path)
		}
		if err := o.add(path, text); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": o.replace})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, data, 0o666)
}

type overlays struct {
	dir     string
	replace map[string]string // by the path of what it replaces
}

func (o *overlays) add(path string, text []byte) error {
	at := filepath.Join(o.dir, fmt.Sprintf("%d_%s", len(o.replace), filepath.Base(path)))
	o.replace[path] = at
	return os.WriteFile(at, text, 0o666)
}

func (o *overlays) editText(path, old, new string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := bytes.Count(text, []byte(old)); n != 1 {
		return fmt.Errorf("%s has %d times, in place of once: %s", path, n, old)
	}
	return o.add(path, bytes.Replace(text, []byte(old), []byte(new), 1))
}

// editNet edits the files of package net that the tests are built from.
func (o *overlays) editNet(dir string) error {
	left := map[string]bool{"netFD": true, "conn.writeBuffers": true} // what no file had yet
	for name := range insertions {
		left[name] = true
	}
	for name := range standIns {
		left[name+".SyscallConn"] = name != "conn" // one method of each
	}
	delete(left, "conn.SyscallConn")
	p, err := build.ImportDir(dir, 0)
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		if err := o.editSource(filepath.Join(dir, name), left); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("package net of this Go has no place for: %v", left)
	}
	return nil
}

// insertion is text for a place in a file.
type insertion struct {
	at   int
	text string
}

// editSource inserts what a file is to have, and takes it off what is left.
func (o *overlays) editSource(path string, left map[string]bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var inserts []insertion
	insert := func(after token.Pos, code, name string) {
		inserts = append(inserts, insertion{fset.Position(after).Offset + 1, code})
		delete(left, name)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == "netFD" {
			if of, ok := spec.Type.(*ast.StructType); ok {
				insert(of.Fields.Opening, fields, "netFD")
			}
		}
		return true
	})
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		name, receiver := nameOf(f)
		code, ok := insertions[name]
		switch {
		case ok && receiver != "":
			code = fmt.Sprintf(code, receiver)
		case !ok:
			code, err = delegation(f, name, receiver)
			if err != nil {
				return err
			}
		}
		if code != "" {
			insert(f.Body.Lbrace, "\n"+code+"\n", name)
		}
	}
	if inserts == nil {
		return nil
	}
	slices.SortFunc(inserts, func(a, b insertion) int { return b.at - a.at })
	for _, i := range inserts {
		text = slices.Insert(text, i.at, []byte(i.text)...)
	}
	if text, err = format.Source(text); err != nil {
		return err
	}
	return o.add(path, text)
}

// nameOf is a function's name, after its receiver's type if it is a method, and the receiver.
func nameOf(f *ast.FuncDecl) (name, receiver string) {
	if f.Recv == nil {
		return f.Name.Name, ""
	}
	of := f.Recv.List[0]
	t := of.Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if of.Names != nil {
		receiver = of.Names[0].Name
	}
	id, _ := t.(*ast.Ident)
	if id == nil {
		return f.Name.Name, receiver
	}
	return id.Name + "." + f.Name.Name, receiver
}

// delegation is the code that has a method call that of what its receiver stands for; empty if it stands for nothing.
func delegation(f *ast.FuncDecl, name, receiver string) (string, error) {
	of, method, _ := strings.Cut(name, ".")
	field := standIns[of]
	if field == "" || !f.Name.IsExported() && name != "conn.writeBuffers" {
		return "", nil
	}
	var args []string
	for _, p := range f.Type.Params.List {
		if p.Names == nil {
			return "", fmt.Errorf("a parameter of %s has no name", name)
		}
		for _, n := range p.Names {
			args = append(args, n.Name)
		}
	}
	target := receiver + ".fd." + field
	call := fmt.Sprintf("%s.%s(%s)", target, method, strings.Join(args, ", "))
	if of == "UnixConn" && slices.Contains(datagrams, method) {
		call = fmt.Sprintf("eyewallUnixConn{%s}.%s(%s)", target, method, strings.Join(args, ", "))
	}
	if f.Type.Results != nil {
		call = "return " + call
	} else {
		call += "; return"
	}
	return fmt.Sprintf("if %[1]s != nil && %[1]s.fd != nil && %s != nil { %s }", receiver, target, call), nil
}
