package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/eyewall/eyewall/bench/internal/chart"
)

// html is all of the comparison, for the page: intervals are drawn, and what belongs together stands together.
func (x comparison) html() template.HTML {
	list := x.list
	if len(list) == 0 {
		return ""
	}
	reach := 1.25
	for _, x := range list {
		if x.ratio.Known {
			reach = max(reach, min(math.Max(x.ratio.High, 1/x.ratio.Low), 3))
		}
	}
	var b strings.Builder
	esc := template.HTMLEscapeString
	fmt.Fprintf(&b, `<figure class="table"><div class="scroll"><table class="compare"><thead><tr><th></th><th>then</th><th>now</th><th>ratio</th><th>95 %% interval</th>`+
		`<th class="strip">%s … 1 … %s</th><th></th></tr></thead>`, ratio(1/reach), ratio(reach))
	for i, x := range list {
		if i == 0 || list[i-1].cell != x.cell || list[i-1].metric.name != x.metric.name {
			if i > 0 {
				b.WriteString(`</tbody>`)
			}
			fmt.Fprintf(&b, `<tbody><tr><th class="what" colspan="7">%s <span>%s</span></th></tr>`, esc(capital(x.metric.name)), esc(x.cell.String()))
		}
		interval, strip := "–", ""
		if x.ratio.Known {
			interval = ratio(x.ratio.Low) + " to " + ratio(x.ratio.High)
			strip = chart.Interval(x.ratio.Ratio, x.ratio.Low, x.ratio.High, reach, 170, 14)
		}
		verdict := x.verdict()
		fmt.Fprintf(&b, `<tr class="%s"><th>%s</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td class="strip">%s</td><td class="verdict">%s</td></tr>`,
			strings.Fields(verdict)[0], esc(x.server.Name), number(x.was), number(x.is), ratio(x.ratio.Ratio), interval, strip, esc(verdict))
	}
	b.WriteString(`</tbody></table></div></figure>`)
	return template.HTML(b.String())
}
