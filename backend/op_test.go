package backend

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	some := []byte("x")
	for _, op := range []Op{
		{Kind: Accept}, {Kind: Accept, Multishot: true}, {Kind: Connect, Addr: some}, {Kind: Recv}, {Kind: Recv, Multishot: true},
		{Kind: Recv, Buf: some}, {Kind: Send, Buf: some}, {Kind: Send}, {Kind: Send, Buf: []byte{}}, {Kind: Send, Bufs: [][]byte{some, nil}},
		{Kind: Send, Bufs: [][]byte{}}, {Kind: Send, Lease: 1}, {Kind: Splice}, {Kind: SendFile, File: &File{Size: 1}}, {Kind: Read, Buf: some}, {Kind: Write, Buf: some}, {Kind: Write}, {Kind: Poll}, {Kind: Close},
	} {
		if err := op.Check(); err != nil {
			t.Errorf("%+v: %v", op, err)
		}
	}
	for what, op := range map[string]Op{
		"unknown kind":        {},
		"unknown":             {Kind: Close + 1},
		"negative descriptor": {Kind: Recv, FD: -1},
		"Multishot":           {Kind: Send, Multishot: true},
		"Buf must be nil":     {Kind: Recv, Multishot: true, Buf: some},
		"Buf is empty":        {Kind: Recv, Buf: some[:0]},
		"have room":           {Kind: Read},
		"Bufs":                {Kind: Write, Bufs: [][]byte{some}},
		"only one":            {Kind: Send, Buf: some, Bufs: [][]byte{some}},
		"Buf, Bufs and Lease": {Kind: Send, Buf: some, Lease: 1},
		"Lease only":          {Kind: Send, Bufs: [][]byte{some}, Lease: 1},
		"Send only":           {Kind: Write, Buf: some, Lease: 1},
		"lent, so Buf":        {Kind: Splice, Buf: some},
		"SendFile":            {Kind: SendFile},
		"which needs it":      {Kind: Send, File: &File{}},
		"negative field":      {Kind: SendFile, File: &File{FD: -1}},
		"a negative":          {Kind: SendFile, File: &File{Offset: -1}},
		"has a negative":      {Kind: SendFile, File: &File{Size: -1}},
		"Addr":                {Kind: Connect},
	} {
		err := op.Check()
		var e *OpError
		if !errors.As(err, &e) || e.Kind != op.Kind || e.FD != op.FD {
			t.Errorf("%+v: %v", op, err)
			continue
		}
		if !strings.Contains(err.Error(), what) || !strings.HasPrefix(err.Error(), "backend: "+op.Kind.String()+" on descriptor ") {
			t.Errorf("%+v: %v; want it to tell of %s", op, err, what)
		}
	}
}

func TestKindString(t *testing.T) {
	want := map[Kind]string{0: "invalid", Accept: "accept", Connect: "connect", Recv: "recv", Send: "send", Read: "read", Write: "write",
		Poll: "poll", Splice: "splice", SendFile: "sendfile", Close: "close", Close + 1: "invalid", 255: "invalid"}
	for k, s := range want {
		if k.String() != s {
			t.Errorf("kind %d is %q, want %q", k, k, s)
		}
	}
}

func TestToken(t *testing.T) {
	for _, c := range [][2]uint32{{0, 1}, {1, 1}, {1<<32 - 1, 1<<32 - 1}, {7, 1 << 31}} {
		tok := MakeToken(c[0], c[1])
		if tok.Slot() != c[0] || tok.Generation() != c[1] || tok == 0 {
			t.Errorf("token of %v is %#x: slot %d, generation %d", c, tok, tok.Slot(), tok.Generation())
		}
	}
}

// Callers look for the standard library's errors.
func TestErrors(t *testing.T) {
	if !errors.Is(ErrDeadline, os.ErrDeadlineExceeded) || !errors.Is(ErrCanceled, context.Canceled) || !errors.Is(ErrClosed, net.ErrClosed) {
		t.Error("an error is not the standard library's")
	}
	var timeout net.Error
	if !errors.As(ErrDeadline, &timeout) || !timeout.Timeout() {
		t.Error("a deadline is no timeout")
	}
}
