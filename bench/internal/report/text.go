package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/eyewall/eyewall/bench/internal/rows"
)

// Text writes a run, and how it compares with an earlier one if there is one, for a terminal.
func Text(out io.Writer, run, earlier *rows.Run) {
	d := newData(run)
	var b strings.Builder
	for _, f := range d.facts() {
		fmt.Fprintf(&b, "%-22s %s\n", f.Name, f.Text)
	}
	if text := d.warning(); text != "" {
		b.WriteString("\n" + wrap(text, 118, ""))
	}
	for _, t := range d.tables() {
		b.WriteByte('\n')
		t.write(&b)
	}
	if earlier != nil {
		b.WriteByte('\n')
		compare(run, earlier).table().write(&b)
	}
	if notes := d.notes(); len(notes) > 0 {
		b.WriteString("\nTo know\n")
		for _, n := range notes {
			b.WriteString(wrap("  - "+n, 118, "    "))
		}
	}
	io.WriteString(out, b.String())
}

// write lays the table out in columns.
func (t table) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s\n", t.title)
	if t.note != "" {
		b.WriteString(wrap("  "+t.note, 118, "  "))
	}
	if len(t.lines) == 0 {
		return
	}
	first := 0
	for _, l := range t.lines {
		first = max(first, utf8.RuneCountInString(l.server))
	}
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = utf8.RuneCountInString(c.name)
		for _, l := range t.lines {
			widths[i] = max(widths[i], utf8.RuneCountInString(l.cells[i].text))
		}
	}
	grouped := false
	for i := 0; i < len(t.columns); { // a group's name may need more room than its columns
		k, width := i+1, widths[i]
		for ; k < len(t.columns) && t.columns[k].group == t.columns[i].group && t.columns[i].group != ""; k++ {
			width += 2 + widths[k]
		}
		if g := t.columns[i].group; g != "" {
			grouped = true
			widths[i] += max(0, utf8.RuneCountInString(g)-width)
		}
		i = k
	}
	if grouped {
		groups := strings.Repeat(" ", 2+first)
		for i := 0; i < len(t.columns); {
			k, width := i+1, widths[i]
			for ; k < len(t.columns) && t.columns[k].group == t.columns[i].group; k++ {
				width += 2 + widths[k]
			}
			groups += "  " + pad(t.columns[i].group, width)
			i = k
		}
		b.WriteString(strings.TrimRight(groups, " ") + "\n")
	}
	fmt.Fprintf(b, "  %*s", first, "")
	for i, c := range t.columns {
		b.WriteString("  " + pad(c.name, widths[i]))
	}
	b.WriteByte('\n')
	peers := false
	for n, l := range t.lines {
		if l.peer && !peers && n > 0 {
			b.WriteByte('\n')
		}
		peers = l.peer
		b.WriteString("  " + l.server + strings.Repeat(" ", first-utf8.RuneCountInString(l.server)))
		for i, c := range l.cells {
			b.WriteString("  " + pad(c.text, widths[i]))
		}
		b.WriteByte('\n')
	}
}

// pad aligns to the right.
func pad(s string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s))) + s
}

// wrap breaks text into lines, all but the first with indent.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	lead := text[:len(text)-len(strings.TrimLeft(text, " "))]
	line := lead
	for i, w := range strings.Fields(text) {
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) > width {
			b.WriteString(line + "\n")
			line = indent + w
			continue
		}
		if i > 0 {
			line += " "
		}
		line += w
	}
	return b.String() + line + "\n"
}
