package sqlite

import (
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// place is one column of an ordering with a bound's value there.
type place struct {
	column     string // for SQL
	nullable   bool
	descending bool
	null       bool
	param      string // of the value, unless it is null
}

// order writes the keyset bounds and ORDER BY.
func (w *query) order(t *seen, q *abi.Query) error {
	places := make([]place, len(q.OrderBy))
	for i, o := range q.OrderBy {
		c, err := t.readable(o.Column)
		if err != nil {
			return err
		}
		places[i] = place{column: t.columns[c].qualified, nullable: t.columns[c].nullable, descending: o.Descending}
	}
	if len(places) == 0 {
		return nil
	}
	first := &places[0]
	if q.After != nil {
		w.after(w.bound(places, q.After))
		// NULLs come first when ascending, so behind a value there are none.
		if !first.descending && q.After[0] != nil {
			first.nullable = false
		}
	}
	if q.Until != nil {
		w.until(w.bound(places, q.Until))
	}
	for i, p := range places {
		w.add([]string{" ORDER BY ", ", "}[min(i, 1)], p.column)
		if p.descending {
			w.add(" DESC")
		}
	}
	return nil
}

// bound returns the places of a bound, its values made parameters.
func (w *query) bound(order []place, values []any) []place {
	at := append([]place(nil), order...)
	for i := range at {
		at[i].param = w.param(values[i])
		at[i].null = w.params[len(w.params)-1] == nil
	}
	return at
}

// after writes the term for the rows behind a bound.
func (w *query) after(at []place) {
	if sameDirection(at, func(p place) bool {
		// Behind a value there are NULLs only when descending.
		return !p.null && !(p.descending && p.nullable)
	}) {
		w.term()
		w.rowValue(at, beyondSign(at[0]))
		return
	}
	w.leading(at[0], beyondSign(at[0])+"=", at[0].descending && at[0].nullable)
	w.term()
	w.lexical(at, place.beyond, "")
}

// until writes the term for the rows up to and with a bound.
func (w *query) until(at []place) {
	if sameDirection(at, func(p place) bool {
		// In front of a value there are NULLs only when ascending.
		return !p.null && (p.descending || !p.nullable)
	}) {
		w.term()
		w.rowValue(at, beforeSign(at[0])+"=")
		return
	}
	w.leading(at[0], beforeSign(at[0])+"=", !at[0].descending && at[0].nullable)
	w.term()
	w.lexical(at, place.before, "1")
}

func beyondSign(p place) string { return map[bool]string{false: ">", true: "<"}[p.descending] }
func beforeSign(p place) string { return map[bool]string{false: "<", true: ">"}[p.descending] }

func sameDirection(at []place, plain func(place) bool) bool {
	for _, p := range at {
		if p.descending != at[0].descending || !plain(p) {
			return false
		}
	}
	return true
}

// rowValue writes (a, b) > (?, ?), which SQLite answers from an index.
func (w *query) rowValue(at []place, sign string) {
	columns, params := make([]string, len(at)), make([]string, len(at))
	for i, p := range at {
		columns[i], params[i] = p.column, p.param
	}
	if len(at) == 1 {
		w.add(columns[0], " ", sign, " ", params[0])
		return
	}
	w.add("(", strings.Join(columns, ", "), ") ", sign, " (", strings.Join(params, ", "), ")")
}

// leading writes a term that follows from the one to come and that an index on
// the first column can use, which it cannot with OR. NULLs on the bound's side
// forbid it.
func (w *query) leading(first place, sign string, nulls bool) {
	if !first.null && !nulls {
		w.term()
		w.add(first.column, " ", sign, " ", first.param)
	}
}

// lexical writes the comparison of a row with a bound column by column:
//
//	strict(a) OR a = ? AND (strict(b) OR b = ? AND (… OR equal))
//
// equal is what a row with the place of the bound is worth, "" for false.
func (w *query) lexical(at []place, strict func(place) string, equal string) {
	open := 0
	for i, p := range at {
		last := i == len(at)-1
		var terms []string
		if s := strict(p); s != "" {
			terms = append(terms, s)
		}
		same := p.column + " = " + p.param
		if p.null {
			same = p.column + " IS NULL"
		}
		w.add("(")
		open++
		switch {
		case last && equal != "":
			w.add(strings.Join(append(terms, same), " OR "))
		case last && len(terms) == 0:
			w.add("0")
		case last:
			w.add(terms[0])
		default:
			w.add(strings.Join(append(terms, same), " OR "), " AND ")
		}
	}
	w.add(strings.Repeat(")", open))
}

// beyond is the condition for the rows that are behind p in its column, ""
// if there are none.
func (p place) beyond() string {
	switch {
	case p.null && p.descending:
		return ""
	case p.null:
		return p.column + " IS NOT NULL"
	case p.descending && p.nullable:
		return "(" + p.column + " < " + p.param + " OR " + p.column + " IS NULL)"
	}
	return p.column + " " + beyondSign(p) + " " + p.param
}

// before is the condition for the rows that are in front of p in its column.
func (p place) before() string {
	switch {
	case p.null && !p.descending:
		return ""
	case p.null:
		return p.column + " IS NOT NULL"
	case !p.descending && p.nullable:
		return "(" + p.column + " < " + p.param + " OR " + p.column + " IS NULL)"
	}
	return p.column + " " + beforeSign(p) + " " + p.param
}
