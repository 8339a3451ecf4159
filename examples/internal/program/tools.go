package program

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// RequireToolsVar names the environment variable that lists tools, by commas, whose tests must not be skipped.
const RequireToolsVar = "EYEWALL_REQUIRE_TOOLS"

// Tool runs a program that is a client of its own kind, such as curl, with what it is to read on its stdin, and returns
// what it printed there and its stderr. Where it is not installed the test is skipped. It must end in time, with status 0.
func Tool(t *testing.T, stdin []byte, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if slices.Contains(strings.Split(os.Getenv(RequireToolsVar), ","), name) {
			t.Fatalf("%s is not installed, and %s asks for it: %v", name, RequireToolsVar, err)
		}
		t.Skipf("%s is not installed: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errors bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errors
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), errors.String())
	}
	return out.String(), errors.String()
}
