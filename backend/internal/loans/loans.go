// Package loans numbers the loans of a backend, so that each is ended once and no other in its place.
package loans

const (
	indexBits = 24
	indexMask = 1<<indexBits - 1

	// Max bounds the loans that are out at a time.
	Max = indexMask

	onLoan     = 1 << 31 // never in a number
	numberMask = onLoan - 1
)

// Table is the loans that are out, by their numbers. Numbers are above 0 and below 1<<31. One that has ended is used
// anew, with another generation in its upper bits: 128 loans of the same place have different numbers. The zero Table has
// no loans. It is for one goroutine.
type Table struct {
	places []place
	free   uint32 // the place + 1 that became free last; 0 for none
	closed bool
}

type place struct {
	number uint32 // of the loan, with onLoan; of the next one while there is none
	what   uint32 // is on loan; while nothing is, the next free place + 1
}

// Lend begins a loan of the thing with that number, and returns the number of the loan: 0 if Max are out.
func (t *Table) Lend(what uint32) uint32 {
	i := t.free
	switch {
	case i != 0:
		t.free = t.places[i-1].what
	case len(t.places) == Max:
		return 0
	default:
		i = uint32(len(t.places)) + 1
		t.places = append(t.places, place{number: i})
	}
	p := &t.places[i-1]
	number := p.number
	p.number, p.what = number|onLoan, what
	return number
}

// Full reports whether Lend has no number left.
func (t *Table) Full() bool { return t.free == 0 && len(t.places) == Max }

// Find returns the thing that is on loan under a number, if there is one.
func (t *Table) Find(number uint32) (what uint32, ok bool) {
	i := number & indexMask
	if i == 0 || int(i) > len(t.places) || number > numberMask || t.places[i-1].number != number|onLoan {
		return 0, false
	}
	return t.places[i-1].what, true
}

// End ends a loan, and returns the thing that was lent. It panics if there is none of that number: whoever has ended
// one twice has most likely handed its bytes to two users. After Close, ok is false.
func (t *Table) End(number uint32) (what uint32, ok bool) {
	if t.closed {
		return 0, false
	}
	if what, ok = t.Find(number); !ok {
		panic("backend: Release of a lease that is not on loan: released twice, or never lent")
	}
	i := number & indexMask
	t.places[i-1] = place{number: (number + 1<<indexBits) & numberMask, what: t.free}
	t.free = i
	return what, true
}

// Close ends all loans.
func (t *Table) Close() { *t = Table{closed: true} }
