package backendtest_test

import (
	"testing"

	"github.com/eyewall/eyewall/backend"
	_ "github.com/eyewall/eyewall/backend/all"
	"github.com/eyewall/eyewall/backend/backendtest"
)

// TestTranscriptsAgree holds that one script has one transcript on all backends, rung by rung. The first one's is
// compared with itself, too.
func TestTranscriptsAgree(t *testing.T) {
	const seed = 4242
	var first, firstName string
	for _, d := range append(backend.Drivers(), backend.Drivers()[0]) {
		name := d.Name
		if d.Rung != "" {
			name += ":" + d.Rung
		}
		if b, err := d.Open(backend.Config{}); err != nil {
			t.Logf("%s: denied by this system: %v", name, err)
			continue
		} else if err := b.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
		text := backendtest.Transcript(t, d.Open, seed)
		switch {
		case first == "":
			first, firstName = text, name
		case text != first:
			t.Errorf("%s and %s differ:\n%s\nand\n%s", firstName, name, first, text)
		}
	}
	if len(first) < 1000 {
		t.Errorf("a transcript of %d bytes", len(first))
	}
	if other := backendtest.Transcript(t, backend.Drivers()[len(backend.Drivers())-1].Open, seed+1); other == first {
		t.Errorf("another seed has the same transcript")
	}
}
