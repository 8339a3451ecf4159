// Package chart draws plots as SVG to be put into a page. Colours are the page's (CSS variables), so that a plot follows
// its light and dark dress; lines are named where they end, so that no legend has to be looked up.
package chart

import (
	"fmt"
	"html"
	"math"
	"strings"
	"unicode/utf8"
)

// Look is how a series or a bar looks.
type Look struct {
	Color  string // as in CSS
	Dashed bool   // lines
	Dotted bool   // likewise; with Dashed, both in turn
	Hollow bool   // marks and bars
	Shape  Shape  // marks
	Faint  bool   // it is there to be compared with
}

// stroke is how its lines are drawn.
func (l Look) stroke() string {
	width, dash := "1.9", ""
	if l.Faint {
		width = "1.2"
	}
	switch {
	case l.Dashed && l.Dotted:
		dash = ` stroke-dasharray="6 3 1.5 3"`
	case l.Dashed:
		dash = ` stroke-dasharray="5 3.5"`
	case l.Dotted:
		dash = ` stroke-dasharray="1.5 3"`
	}
	return fmt.Sprintf(`fill="none" stroke="%s" stroke-width="%s"%s`, l.Color, width, dash)
}

// nameWidth is the room that the longest of some names takes.
func nameWidth[T any](list []T, name func(T) string) (width float64) {
	for _, v := range list {
		width = max(width, 6.5*float64(utf8.RuneCountInString(name(v))))
	}
	return width
}

// Shape is that of a mark.
type Shape int

const (
	Circle Shape = iota
	Square
	Triangle
	Diamond
	Cross
)

// canvas collects elements.
type canvas struct{ strings.Builder }

func (c *canvas) f(format string, args ...any) { fmt.Fprintf(c, format, args...) }

func esc(s string) string { return html.EscapeString(s) }

// open begins a picture that is w by h at its natural size and shrinks with the page.
func (c *canvas) open(w, h float64, title string) {
	c.f(`<svg viewBox="0 0 %s %s" role="img" aria-label="%s" class="plot">`, n(w), n(h), esc(title))
}

// n writes a coordinate.
func n(v float64) string {
	s := fmt.Sprintf("%.1f", v)
	return strings.TrimSuffix(s, ".0")
}

// text writes text at a point; class says how it looks, anchor is start, middle or end.
func (c *canvas) text(x, y float64, class, anchor, s string) {
	c.f(`<text x="%s" y="%s" class="%s" text-anchor="%s">%s</text>`, n(x), n(y), class, anchor, esc(s))
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	c.f(`<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, n(x1), n(y1), n(x2), n(y2), class)
}

// mark draws a mark with a tooltip.
func (c *canvas) mark(x, y float64, l Look, tip string) {
	const r = 3.4
	fill := l.Color
	if l.Hollow {
		fill = "var(--paper)"
	}
	style := fmt.Sprintf(`fill="%s" stroke="%s" stroke-width="1.6"`, fill, l.Color)
	end := fmt.Sprintf(`<title>%s</title>`, esc(tip))
	switch l.Shape {
	case Square:
		c.f(`<rect x="%s" y="%s" width="%s" height="%s" %s>%s</rect>`, n(x-r+.3), n(y-r+.3), n(2*r-.6), n(2*r-.6), style, end)
	case Triangle:
		c.f(`<path d="M%s %sL%s %sL%s %sZ" %s>%s</path>`, n(x), n(y-r-.6), n(x+r+.4), n(y+r-.4), n(x-r-.4), n(y+r-.4), style, end)
	case Diamond:
		c.f(`<path d="M%s %sL%s %sL%s %sL%s %sZ" %s>%s</path>`, n(x), n(y-r-1), n(x+r+1), n(y), n(x), n(y+r+1), n(x-r-1), n(y), style, end)
	case Cross:
		c.f(`<path d="M%s %sL%s %sM%s %sL%s %s" fill="none" stroke="%s" stroke-width="1.8">%s</path>`,
			n(x-r), n(y-r), n(x+r), n(y+r), n(x-r), n(y+r), n(x+r), n(y-r), l.Color, end)
	default:
		c.f(`<circle cx="%s" cy="%s" r="%s" %s>%s</circle>`, n(x), n(y), n(r), style, end)
	}
}

// scale maps values to coordinates.
type scale struct {
	low, high float64 // values
	from, to  float64 // coordinates
	log       bool
}

func (s scale) at(v float64) float64 {
	if s.log {
		return s.from + (s.to-s.from)*(math.Log(v)-math.Log(s.low))/(math.Log(s.high)-math.Log(s.low))
	}
	return s.from + (s.to-s.from)*(v-s.low)/(s.high-s.low)
}

// ticks are round values within the scale, at most about most of them.
func (s scale) ticks(most int) (list []float64) {
	if s.log {
		for _, digits := range [][]float64{{1, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.7, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 8.5, 9, 9.5}, {1, 1.2, 1.4, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9}, {1, 1.5, 2, 3, 5, 7}, {1, 2, 5}, {1, 3}, {1}} {
			list = nil
			for e := math.Floor(math.Log10(s.low)); e <= math.Ceil(math.Log10(s.high)); e++ {
				for _, d := range digits {
					if v := d * math.Pow(10, e); v >= s.low*0.999 && v <= s.high*1.001 {
						list = append(list, v)
					}
				}
			}
			if len(list) <= most {
				break
			}
		}
		return list
	}
	step := nice((s.high - s.low) / float64(most))
	for i := math.Ceil(s.low / step); i*step <= s.high*1.0001; i++ {
		list = append(list, i*step)
	}
	return list
}

// nice is the least of 1, 2, 5, 10, ... that is v or more.
func nice(v float64) float64 {
	e := math.Pow(10, math.Floor(math.Log10(v)))
	for _, d := range []float64{1, 2, 5} {
		if d*e >= v*0.9999 {
			return d * e
		}
	}
	return 10 * e
}

// spreadOut moves positions, which are in order, so that they are gap apart and within low to high, no farther than
// needed.
func spreadOut(want []float64, gap, low, high float64) []float64 {
	type block struct {
		sum float64 // of what the positions would be if the first were all there is
		n   int
	}
	var blocks []block
	start := func(b block) float64 {
		return min(max(b.sum/float64(b.n), low), max(low, high-gap*float64(b.n-1)))
	}
	for _, w := range want {
		blocks = append(blocks, block{w, 1})
		for len(blocks) > 1 {
			a, b := blocks[len(blocks)-2], blocks[len(blocks)-1]
			if start(a)+gap*float64(a.n) <= start(b) {
				break
			}
			blocks = append(blocks[:len(blocks)-2], block{a.sum + b.sum - gap*float64(a.n)*float64(b.n), a.n + b.n})
		}
	}
	got := make([]float64, 0, len(want))
	for _, b := range blocks {
		for i := range b.n {
			got = append(got, start(b)+gap*float64(i))
		}
	}
	return got
}
