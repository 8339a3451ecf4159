package chart

import (
	"math"
	"slices"
	"unicode/utf8"
)

// Lines is a plot of series over one thing.
type Lines struct {
	Title string // for those who do not see it
	X, Y  string // what the axes are
	Ticks []Tick // of the x axis; where there is no room, a text is left out
	LogX  bool
	FromY bool                 // the y axis is linear, and begins at 0
	Text  func(float64) string // writes a value of y
	Width float64              // 0: half a page
	Zoom  bool                 // the y axis shows no more than it must
	// Reference is a value of y that a line marks; 0 for none.
	Reference float64
	Series    []Series
}

// Tick is a place on an axis.
type Tick struct {
	At   float64
	Text string
}

// Series is a line.
type Series struct {
	Name   string
	Look   Look
	Points []Point // from left to right
}

// Point is a point of it. Low and High are the rounds' range, drawn where they differ.
type Point struct {
	X, Y, Low, High float64
	Tip             string
}

const (
	lineWidth  = 520
	lineHeight = 316
	left       = 50
	rightLeast = 112
	top        = 26
	bottom     = 42
	labelGap   = 13.5
)

// SVG draws it; it is empty where there are no points.
func (l Lines) SVG() string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range l.Series {
		for _, p := range s.Points {
			low, high = min(low, p.Y), max(high, p.Y)
		}
	}
	if math.IsInf(low, 0) || len(l.Ticks) == 0 {
		return ""
	}
	width := l.Width
	if width == 0 {
		width = lineWidth
	}
	right := max(rightLeast, 12+nameWidth(l.Series, func(s Series) string { return s.Name }))
	y := scale{from: lineHeight - bottom, to: top}
	switch y.log = low > 0 && (high/low > 6 || l.Zoom) && !l.FromY; {
	case l.Zoom && y.log:
		y.low, y.high = min(low, l.Reference)/1.02, max(high, l.Reference)*1.03
	case y.log:
		y.low, y.high = low/1.15, high*1.15
	default:
		y.low, y.high = 0, high*1.08
	}
	if y.high <= y.low {
		y.high = y.low + 1
	}
	x := scale{low: l.Ticks[0].At, high: l.Ticks[len(l.Ticks)-1].At, from: left + 14, to: width - right - 12, log: l.LogX}
	if x.low == x.high { // one place only: in the middle
		x = scale{low: x.low - 1, high: x.high + 1, from: x.from, to: x.to}
	}

	c := &canvas{}
	c.open(width, lineHeight, l.Title)
	c.text(left-8, 13, "axis", "start", l.Y)
	for _, v := range y.ticks(7) {
		c.line(left, y.at(v), width-right, y.at(v), "grid")
		c.text(left-7, y.at(v)+4, "tick", "end", l.Text(v))
	}
	free := 0.0
	for _, t := range l.Ticks {
		at, half := x.at(t.At), 3.4*float64(utf8.RuneCountInString(t.Text))
		c.line(at, lineHeight-bottom, at, lineHeight-bottom+4, "grid")
		if at-half >= free {
			c.text(at, lineHeight-bottom+17, "tick", "middle", t.Text)
			free = at + half + 4
		}
	}
	if l.Reference > 0 {
		c.line(left, y.at(l.Reference), width-right, y.at(l.Reference), "zero")
	}
	c.text((x.from+x.to)/2, lineHeight-6, "axis", "middle", l.X)
	for _, s := range l.Series {
		l.draw(c, s, x, y)
	}
	l.label(c, x, y, width-right+8)
	c.f("</svg>")
	return c.String()
}

func (l Lines) draw(c *canvas, s Series, x, y scale) {
	path, command := "", "M"
	for _, p := range s.Points {
		path += command + n(x.at(p.X)) + " " + n(y.at(p.Y))
		command = "L"
	}
	c.f(`<path d="%s" %s stroke-linejoin="round"/>`, path, s.Look.stroke())
	for _, p := range s.Points {
		lowest := max(p.Low, y.low)
		if a, b := y.at(lowest), y.at(min(p.High, y.high)); p.High > p.Low && a-b > 3 {
			c.f(`<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s" stroke-width="1" opacity="0.45"/>`,
				n(x.at(p.X)), n(a), n(x.at(p.X)), n(b), s.Look.Color)
		}
		if p.Tip != "" {
			c.mark(x.at(p.X), y.at(p.Y), s.Look, p.Tip)
		}
	}
}

// label names each line beside its last point, the names beginning at from.
func (l Lines) label(c *canvas, x, y scale, from float64) {
	type end struct {
		s    Series
		x, y float64
	}
	var ends []end
	for _, s := range l.Series {
		if len(s.Points) > 0 {
			p := s.Points[len(s.Points)-1]
			ends = append(ends, end{s, x.at(p.X), y.at(p.Y)})
		}
	}
	slices.SortStableFunc(ends, func(a, b end) int {
		switch {
		case a.y < b.y:
			return -1
		case a.y > b.y:
			return 1
		}
		return 0
	})
	want := make([]float64, len(ends))
	for i, e := range ends {
		want[i] = e.y
	}
	for i, at := range spreadOut(want, labelGap, top, lineHeight-bottom) {
		e := ends[i]
		c.f(`<path d="M%s %sL%s %s" fill="none" stroke="%s" stroke-width="0.8" opacity="0.5"/>`,
			n(e.x+5), n(e.y), n(from-3), n(at), e.s.Look.Color)
		class := "name"
		if e.s.Look.Faint {
			class = "name faint"
		}
		c.f(`<text x="%s" y="%s" class="%s" style="fill:%s">%s</text>`, n(from), n(at+4), class, e.s.Look.Color, esc(e.s.Name))
	}
}

// Key draws a short piece of a line with its mark.
func Key(l Look) string {
	c := &canvas{}
	c.f(`<svg viewBox="0 0 30 12" width="30" height="12" class="key" aria-hidden="true"><path d="M1 6H29" %s/>`, l.stroke())
	c.mark(15, 6, l, "")
	c.f(`</svg>`)
	return c.String()
}
