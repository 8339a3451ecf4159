package zerocopy

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// No more is asked for than the file has.
func TestBound(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var end int64
	for _, step := range []struct {
		size      int64 // of the file from here on
		offset    int64
		n, want   int
		wantKnown int64
	}{
		{1000, 0, 5000, 1000, 1000},
		{1000, 0, 10, 10, 1000},
		{1000, 999, 10, 1, 1000},
		{3000, 990, 5000, 10, 1000},    // it has grown, and is not looked at yet
		{3000, 1000, 5000, 2000, 3000}, // now it is
		{3000, 3000, 5000, 5000, 3000}, // which is the end
		{10, 2000, 5000, 1000, 3000},   // it has shrunk, which the call says
		{10, 5000, 5000, 5000, 10},     // begins beyond the end
		{0, 20, 5000, 5000, 0},
	} {
		if err := f.Truncate(step.size); err != nil {
			t.Fatal(err)
		}
		n, errno := bound(int32(f.Fd()), step.offset, step.n, &end)
		if n != step.want || errno != 0 || end != step.wantKnown {
			t.Errorf("%+v: %d (%v), the end is %d", step, n, errno, end)
		}
	}
	end = 0
	if n, errno := bound(-1, 0, 10, &end); n != 0 || errno != unix.EBADF {
		t.Errorf("without a file: %d, %v", n, errno)
	}
	if n := testing.AllocsPerRun(100, func() { end = 0; bound(int32(f.Fd()), 0, 10, &end) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
