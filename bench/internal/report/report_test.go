package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

// sample is a run with every kind of row, made up. Each server has a factor of its own.
func sample(rounds int, faster float64, peers bool) *rows.Run {
	random := rand.New(rand.NewPCG(1, uint64(faster*100)))
	run := &rows.Run{Head: rows.Head{Format: rows.Format, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Command: "go -C bench run . <&>",
		Rounds: rounds, Window: 0.25, Loops: 2, Polling: 50e-6, ServerCPUs: "0", ClientCPUs: "1",
		Facts: []rows.Fact{{Name: "Processor", Text: "a <processor> & more"}, {Name: "Go", Text: "1.26"}}},
		Foot: rows.Foot{Ended: time.Date(2026, 1, 2, 3, 6, 5, 0, time.UTC), Planned: 10, Others: 0.5, Notes: []string{"something <could> not be measured"}}}
	for _, b := range []string{"select", "epoll", "io_uring", "io_uring/giouring"} {
		for _, f := range []string{"task", "handler"} {
			run.Head.Servers = append(run.Head.Servers, rows.Server{Name: b + " " + f, Backend: b, Form: f})
			if b == "epoll" {
				run.Head.Servers = append(run.Head.Servers, rows.Server{Name: b + " " + f + " one", Backend: b, Form: f, Accept: rows.One})
			}
		}
	}
	if peers {
		for _, p := range []string{"net", "gnet", "evio"} {
			run.Head.Servers = append(run.Head.Servers, rows.Server{Name: p, Version: "v1.2.3"})
		}
	}
	cells := []rows.Cell{
		{Kind: rows.Memory, Conns: 10000, Size: 64, Depth: 1}, {Kind: rows.Accept, Conns: 64, Size: 64, Depth: 1},
		{Kind: rows.Latency, Conns: 100, Size: 64, Depth: 1, Rate: 20000}, {Kind: rows.Latency, Conns: 100, Size: 64, Depth: 1, Rate: 50000},
	}
	for _, n := range []int{1, 100, 1000, 10000} {
		cells = append(cells, rows.Cell{Kind: rows.Load, Conns: n, Size: 64, Depth: 1})
	}
	for _, n := range []int{64, 1024, 65536} {
		cells = append(cells, rows.Cell{Kind: rows.Load, Conns: 50, Size: n, Depth: 1})
	}
	for _, n := range []int{5000, 0, 100} {
		cells = append(cells, rows.Cell{Kind: rows.Crowd, Conns: 100, Idle: n, Size: 64, Depth: 1})
	}
	for _, n := range []int{4, 16} {
		cells = append(cells, rows.Cell{Kind: rows.Load, Conns: 100, Size: 64, Depth: n})
	}
	for round := range rounds {
		for _, c := range cells {
			for i, s := range run.Head.Servers {
				noise := (1 + 0.1*float64(i)) * faster * (0.99 + 0.02*random.Float64())
				if c.Kind == rows.Load && c.Conns == 10000 && i == 0 {
					run.Rows = append(run.Rows, rows.Row{Cell: c, Server: s.Name, Round: round, Failed: "no answer for 5 s"})
					continue
				}
				var encoded []byte
				if c.Kind == rows.Latency {
					h := hdrhistogram.New(64, int64(time.Second), 3)
					for range 1000 {
						h.RecordValue(int64(30000 * noise * (1 + random.ExpFloat64())))
					}
					encoded, _ = h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
				}
				calls := 2.0 * noise
				cpu := 4 * noise
				if s.Backend == "select" {
					cpu += 2e-3 * float64(c.Idle)
				}
				run.Rows = append(run.Rows, rows.Row{Cell: c, Server: s.Name, Round: round, Seconds: 0.25, Messages: 50000,
					PerSecond: 200000 / noise, CPU: cpu, Busy: 0.9, ClientCPU: 0.99, Limited: i == 2, P50: 30 * noise, P90: 60 * noise, P99: 100 * noise,
					P999: 200 * noise, Max: 300 * noise, Histogram: string(encoded), Syscalls: &calls, Allocs: new(float64),
					SyscallsFrom: map[bool]string{true: rows.FromIO, false: rows.FromBackend}[s.Peer()],
					RSS:          300 * noise, Pinged: 350 * noise, Heap: 200, Stacks: 3, BaseRSS: 5 << 20})
			}
		}
	}
	return run
}

// outside finds what a page would load or lead to.
var outside = regexp.MustCompile(`(?i)https?:|//[a-z]|url\(|@import|<script|<link|<img|<iframe|\bsrc=|href=`)

// check looks whether a page is well-formed and stands alone.
func check(t *testing.T, page []byte) {
	t.Helper()
	if m := outside.FindIndex(page); m != nil {
		t.Errorf("the page needs something else: …%s…", page[max(0, m[0]-40):min(len(page), m[1]+40)])
	}
	for _, word := range []string{"NaN", "+Inf", "%!", "<nil>", "ZgotmplZ"} {
		if i := bytes.Index(page, []byte(word)); i >= 0 {
			t.Errorf("the page says %s: …%s…", word, page[max(0, i-60):min(len(page), i+60)])
		}
	}
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
	}
}

func TestPage(t *testing.T) {
	for _, peers := range []bool{false, true} {
		for _, earlier := range []*rows.Run{nil, sample(3, 1.2, peers)} {
			page := HTML(sample(3, 1, peers), earlier)
			check(t, page)
			for _, want := range []string{"This machine was busy", "io_uring/giouring handler", "something &lt;could&gt; not be measured", "a &lt;processor&gt; &amp; more", "failed",
				"Beside idle connections", "busy polling for 50", "2 loops"} {
				if !bytes.Contains(page, []byte(want)) {
					t.Errorf("the page lacks %q", want)
				}
			}
			if compared := bytes.Contains(page, []byte("Beside the run of")); compared != (earlier != nil) {
				t.Errorf("compared: %v", compared)
			}
			if os.Getenv("KEEP_REPORT") != "" {
				os.WriteFile(filepath.Join(os.TempDir(), fmt.Sprintf("eyewall-sample-%v-%v.html", peers, earlier != nil)), page, 0o666)
			}
		}
	}
}

// What there is may be little: an interrupt comes when it comes.
func TestPageOfPartOfARun(t *testing.T) {
	whole := sample(1, 1, true)
	for n := 0; n <= len(whole.Rows); n += 61 {
		part := *whole
		part.Rows = whole.Rows[:n]
		part.Foot.Interrupted = true
		check(t, HTML(&part, whole))
		Text(io.Discard, &part, whole)
	}
	Text(io.Discard, &rows.Run{}, nil)
	check(t, HTML(&rows.Run{}, &rows.Run{}))
}

func TestText(t *testing.T) {
	var out strings.Builder
	Text(&out, sample(3, 1, true), sample(3, 1.2, true))
	text := out.String()
	for _, want := range []string{"Ratio to net", "io_uring handler", "failed", "Beside the run of", "better", "≥", "*", "by idle connections", "Busy polling"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 160 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if strings.Contains(text, "NaN") {
		t.Error("the text says NaN")
	}
}

// What is only watched costs select: the sample's 2 µs more for 1,000 idle connections are what the slope says.
func TestSlope(t *testing.T) {
	d := newData(sample(3, 1, false))
	a := d.crowd()
	for server, want := range map[string]float64{"select task": 2, "select handler": 2, "epoll task": 0} {
		if ns := 1e3 * d.slope(a, server, cpu); math.Abs(ns-want) > 0.05 {
			t.Errorf("%s: %v ns for each idle connection, want %v", server, ns, want)
		}
	}
	one := axis{cells: a.cells[:1], x: a.x}
	if v := d.slope(one, "epoll task", cpu); !math.IsNaN(v) {
		t.Errorf("%v from one place", v)
	}
}

// A run of nothing but a crowd has a headline and a plot of its own.
func TestOnlyCrowd(t *testing.T) {
	run := sample(3, 1, true)
	run.Rows = slices.DeleteFunc(run.Rows, func(r rows.Row) bool { return r.Kind != rows.Crowd })
	page := HTML(run, nil)
	check(t, page)
	if !bytes.Contains(page, []byte("A message beside 5,000 idle connections costs")) || !bytes.Contains(page, []byte("CPU per message by idle connections")) {
		t.Error("the page lacks the headline or the plot")
	}
	if bytes.Contains(page, []byte("-measure crowd does")) {
		t.Error("the page says that there is no crowd")
	}
}

// What a run did in another way than the earlier one is said beside what has changed.
func TestChanges(t *testing.T) {
	run, earlier := sample(3, 1, false), sample(3, 1, false)
	if list := changes(run.Head, earlier.Head); len(list) > 0 {
		t.Errorf("the same run: %q", list)
	}
	earlier.Head.Loops, earlier.Head.Polling, earlier.Head.Facts[1].Text = 1, 0, "1.25"
	note := compare(run, earlier).note
	for _, want := range []string{"loops 1, now 2", "busy polling none, now 50", "Go 1.25, now 1.26"} {
		if !strings.Contains(note, want) {
			t.Errorf("%q lacks %q", note, want)
		}
	}
}

func TestDisturbed(t *testing.T) {
	run := sample(3, 1, false)
	run.Rows[1].Others, run.Rows[5].Others, run.Rows[7].Others = 0.9, 0.3, 0.1
	notes := strings.Join(newData(run).notes(), "\n")
	if want := fmt.Sprintf("more than 0.25 CPUs busy during 2 of %s", rows.Plural(len(run.Rows), "measurement")); !strings.Contains(notes, want) {
		t.Errorf("%q lacks %q", notes, want)
	}
}

func TestDifferences(t *testing.T) {
	for _, d := range differences(sample(5, 1, false), sample(5, 1.2, false)) {
		if v := d.verdict(); v != better {
			t.Errorf("%s, %v, %s: a sixth less is %q: %+v", d.server.Name, d.cell, d.metric.name, v, d.ratio)
		}
	}
	n := 0
	for _, d := range differences(sample(5, 1, false), sample(5, 1.001, false)) {
		if v := d.verdict(); v == better || v == worse {
			n++
		}
	}
	if all := len(differences(sample(5, 1, false), sample(5, 1, false))); n > all/5 {
		t.Errorf("noise passes for a difference in %d of %d figures", n, all)
	}
	if d := differences(sample(2, 1, false), sample(2, 1, false)); d[0].verdict() != vague {
		t.Errorf("two rounds give %+v", d[0].ratio)
	}
}
