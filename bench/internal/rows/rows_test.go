package rows

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	calls := 0.0
	run := &Run{
		Head: Head{Format: Format, Started: time.Unix(1e9, 0).UTC(), Command: "x", Servers: []Server{{Name: "epoll task", Backend: "epoll", Form: "task", On: "epoll"}}},
		Rows: []Row{{Cell: Cell{Kind: Load, Conns: 3, Size: 64, Depth: 1}, Server: "epoll task", CPU: 3.5, Syscalls: &calls},
			{Cell: Cell{Kind: Memory, Conns: 3, Size: 64, Depth: 1}, Server: "epoll task", Failed: "why"}},
		Foot: Foot{Ended: time.Unix(2e9, 0).UTC(), Planned: 4, On: map[string]string{"epoll task": "epoll"}, Notes: []string{"n"}},
	}
	var b bytes.Buffer
	w := NewWriter(&b)
	w.Write(run.Head)
	for _, r := range run.Rows {
		w.Write(r)
	}
	half := b.String()
	if err := w.Write(run.Foot); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&b)
	if err != nil || !reflect.DeepEqual(got, run) {
		t.Errorf("%v:\n%+v\n%+v", err, got, run)
	}
	if got, err := Read(strings.NewReader(half)); err != nil || len(got.Rows) != 2 || !got.Foot.Ended.IsZero() {
		t.Errorf("without its end: %+v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, bad := range []string{"", "x\n", "{}\n", `{"eyewall_bench":99}` + "\n", `{"eyewall_bench":1}` + "\nx\n"} {
		if run, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %+v", bad, run)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := Count(v); got != want {
			t.Errorf("%v: %q", v, got)
		}
	}
	for v, want := range map[int]string{64: "64 B", 1000: "1000 B", 1024: "1 KiB", 256 << 10: "256 KiB", 1 << 20: "1 MiB"} {
		if got := Bytes(v); got != want {
			t.Errorf("%v: %q", v, got)
		}
	}
}
