//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bar shows how far the run is: on a terminal a line that is drawn again and again, elsewhere a line now and then.
type bar struct {
	out      *os.File
	terminal bool
	width    int
	tenths   int // shown so far, where there is no terminal
	latest   time.Time
}

func newBar(out *os.File) *bar {
	b := &bar{out: out, tenths: -1}
	if _, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS); err == nil {
		b.terminal, b.width = true, 80
		if ws, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ); err == nil && ws.Col > 20 {
			b.width = int(ws.Col)
		}
	}
	return b
}

// show is called before each step, and when all are done.
func (b *bar) show(done, all int, what string, left time.Duration) {
	if !b.terminal {
		if tenths := 10 * done / max(all, 1); tenths > b.tenths && done < all {
			b.tenths = tenths
			fmt.Fprintf(b.out, "bench: %d of %d measurements, about %s left\n", done, all, brief(left))
		}
		return
	}
	if done == all {
		b.clear()
		return
	}
	if time.Since(b.latest) < 100*time.Millisecond {
		return
	}
	b.latest = time.Now()
	const cells = 24
	full := cells * done / max(all, 1)
	line := fmt.Sprintf("%s%s %3d%%  %s left  %s", strings.Repeat("█", full), strings.Repeat("░", cells-full),
		100*done/max(all, 1), brief(left), what)
	if r := []rune(line); len(r) >= b.width {
		line = string(r[:b.width-2]) + "…"
	}
	fmt.Fprint(b.out, "\r\x1b[K"+line)
}

// clear makes room for what is printed next.
func (b *bar) clear() {
	if b.terminal {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

func brief(d time.Duration) string {
	d = d.Round(time.Second)
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
