package ops

import "github.com/eyewall/eyewall/backend"

// inLine is an operation that was canceled before it had begun.
type inLine struct {
	token  backend.Token
	behind backend.Token // the first of its queue, if that was stuck at the last call of CancelStuck; else 0
}

// LineCanceled reports whether operations were canceled before they had begun. They wait for CancelLine or CancelStuck.
func (t *Table) LineCanceled() bool { return len(t.line) > 0 }

// CancelLine carries out the cancels of operations that had not begun. Those that still wait in line end, and those that
// have begun since are aborted. The engine calls it within Poll when it has collected the results that are there: what
// those ahead in line leave over may be a result of one behind them.
func (t *Table) CancelLine() {
	for _, l := range t.line {
		t.cancelInLine(l)
	}
	t.line = t.line[:0]
}

// CancelStuck is CancelLine for those behind an operation that was stuck at the last call, is the first of its queue
// yet, and is stuck now: that has no result. It is for an engine that never gets to know whether it has collected all
// results, but those that were there at the last call.
func (t *Table) CancelStuck(stuck func(first *Op) bool) {
	wait := t.line[:0]
	for _, l := range t.line {
		if o := t.Lookup(l.token); o != nil && !o.begun {
			before, first := l.behind, o.FD.first(o.direction())
			if l.behind = 0; stuck(first) {
				l.behind = first.Token()
			}
			if l.behind == 0 || l.behind != before {
				wait = append(wait, l)
				continue
			}
		}
		t.cancelInLine(l)
	}
	t.line = wait
}

func (t *Table) cancelInLine(l inLine) {
	switch o := t.Lookup(l.token); {
	case o == nil:
	case o.begun:
		t.engine.Abort(o)
	default:
		t.Finish(o, 0, o.Cause(), nil, 0)
	}
}
