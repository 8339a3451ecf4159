package chart

import (
	"fmt"
	"math"
)

// Bars is a list of values, each with a name.
type Bars struct {
	Title string // for those who do not see it
	Head  string // above the values
	Width float64
	Least float64 // what the longest bar stands for at least, so that next to nothing looks like it
	Bars  []Bar
}

// Bar is one of them.
type Bar struct {
	Name      string
	Look      Look
	Value     float64 // NaN where there is none
	Low, High float64 // the rounds' range, drawn where they differ
	Beyond    float64 // if it is more than Value, a second value, drawn as an outline up to it
	Text      string  // the value as it is to be read
	Side      string  // and what else is to be read, at the right
	Tip       string
	Apart     bool // a little room above
}

const (
	leastNames = 128
	barStep    = 23
	barHeight  = 11
	barApart   = 9
	barGap     = 8
)

// SVG draws it.
func (b Bars) SVG() string {
	most := b.Least
	height := 26.0
	for i, bar := range b.Bars {
		if !math.IsNaN(bar.Value) {
			most = max(most, bar.Value, bar.High, bar.Beyond)
		}
		height += barStep
		if bar.Apart && i > 0 {
			height += barApart
		}
	}
	if most == 0 {
		most = 1
	}
	names := max(leastNames, 12+nameWidth(b.Bars, func(b Bar) string { return b.Name }))
	room := 1.12*nameWidth(b.Bars, func(b Bar) string { return b.Text }) + nameWidth(b.Bars, func(b Bar) string { return b.Side }) // the former are bold
	end := b.Width - room - 3*barGap
	x := scale{low: 0, high: most, from: names, to: end}
	c := &canvas{}
	c.open(b.Width, height, b.Title)
	c.text(names, 12, "axis", "start", b.Head)
	y := 24.0
	for i, bar := range b.Bars {
		if bar.Apart && i > 0 {
			y += barApart
		}
		b.draw(c, bar, x, y)
		y += barStep
	}
	c.line(names, 20, names, height-2, "zero")
	c.f("</svg>")
	return c.String()
}

func (b Bars) draw(c *canvas, bar Bar, x scale, y float64) {
	middle := y + barHeight/2 + 1
	class := "name"
	if bar.Look.Faint {
		class = "name faint"
	}
	c.f(`<text x="%s" y="%s" class="%s" text-anchor="end" style="fill:%s">%s</text>`, n(x.from-9), n(middle+4), class, bar.Look.Color, esc(bar.Name))
	if math.IsNaN(bar.Value) {
		c.text(x.from+barGap, middle+4, "tick", "start", bar.Text)
		return
	}
	at := x.at(bar.Value)
	opacity := "1"
	if bar.Look.Hollow {
		opacity = "0.5"
	}
	c.f(`<rect x="%s" y="%s" width="%s" height="%d" fill="%s" opacity="%s"><title>%s</title></rect>`,
		n(x.from), n(y+1), n(max(at-x.from, 1)), barHeight, bar.Look.Color, opacity, esc(bar.Tip))
	reach := at
	if bar.Beyond > bar.Value {
		reach = x.at(bar.Beyond)
		c.f(`<rect x="%s" y="%s" width="%s" height="%d" fill="none" stroke="%s" stroke-width="1" stroke-dasharray="2.5 2"/>`,
			n(at), n(y+1.5), n(reach-at-.5), barHeight-1, bar.Look.Color)
	}
	if bar.High > bar.Low {
		lo, hi := x.at(bar.Low), x.at(bar.High)
		reach = max(reach, hi)
		c.f(`<path d="M%s %sH%sM%s %sV%sM%s %sV%s" class="whisker"/>`,
			n(lo), n(middle), n(hi), n(lo), n(middle-3), n(middle+3), n(hi), n(middle-3), n(middle+3))
	}
	c.text(reach+barGap, middle+4, "value", "start", bar.Text)
	c.text(b.Width-2, middle+4, "side", "end", bar.Side)
}

// Interval draws a ratio's confidence interval in a strip of w by h, around a line at 1; reach is how far the strip goes
// on both sides, as a factor.
func Interval(ratio, low, high, reach, w, h float64) string {
	x := scale{low: 1 / reach, high: reach, from: 4, to: w - 4, log: true}
	clip := func(v float64) float64 { return min(max(v, 1/reach), reach) }
	c := &canvas{}
	c.f(`<svg viewBox="0 0 %s %s" width="%s" height="%s" class="interval" role="img" aria-label="%s">`, n(w), n(h), n(w), n(h),
		esc(fmt.Sprintf("%.3f to %.3f", low, high)))
	c.line(x.at(1), 0, x.at(1), h, "zero")
	c.line(x.at(clip(low)), h/2, x.at(clip(high)), h/2, "range")
	c.f(`<circle cx="%s" cy="%s" r="3" class="dot"/></svg>`, n(x.at(clip(ratio))), n(h/2))
	return c.String()
}
