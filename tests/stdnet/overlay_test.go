package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOverlay checks that every edit finds its place in this Go's sources.
func TestOverlay(t *testing.T) {
	for _, suite := range []string{"net", "net/http"} {
		dir := t.TempDir()
		if _, err := overlay(rootOf(t), suite, dir); err != nil {
			t.Fatal(err)
		}
		all := ""
		for _, path := range glob(t, filepath.Join(dir, "*.go")) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all += string(text)
		}
		for _, want := range []string{
			"return c.fd.eyewall.Read(b)",
			"return c.fd.eyewall.SetKeepAliveConfig(config)",
			"return eyewallUnixConn{c.fd.eyewall}.WriteTo(b, addr)",
			"return l.fd.eyewallListener.AcceptTCP()",
			"l.fd.eyewallListener.SetUnlinkOnClose(unlink)",
		} {
			if n := strings.Count(all, want); n != 1 {
				t.Errorf("%s: the edited files have %q %d times", suite, want, n)
			}
		}
	}
}

// TestOverlayOfAnother checks that sources without a place for an edit are an error: the suite would run over package
// net as it is.
func TestOverlayOfAnother(t *testing.T) {
	goroot := t.TempDir()
	net := filepath.Join(goroot, "src", "net")
	if err := os.MkdirAll(net, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range glob(t, filepath.Join(rootOf(t), "src/net/*.go")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other := strings.ReplaceAll(string(text), "dialUnix(", "dialUnixSocket(")
		if err := os.WriteFile(filepath.Join(net, filepath.Base(path)), []byte(other), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, err := overlay(goroot, "net", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "dialUnix") {
		t.Errorf("overlay: %v, want that there is no place for dialUnix", err)
	}
}

func rootOf(t *testing.T) string {
	t.Helper()
	root, err := goroot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || paths == nil {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths
}
