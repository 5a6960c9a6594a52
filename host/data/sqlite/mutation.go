package sqlite

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// plan is a mutation made ready for the rows of its batch.
type plan struct {
	sql    string
	binder binder
	key    []int // of the table
	shown  []int // what of it may be named in an error
	check  bool  // the statement returns for each row whether it is within the grant
}

// planOf writes the statement of a mutation whose batch has these columns. It
// was checked by data.CheckMutation.
func planOf(t *seen, m *abi.Mutation, columns []string) (*plan, error) {
	if t.view {
		return nil, abi.Errorf(abi.ReadOnly, "collection %q is a view", t.name)
	}
	p := &plan{key: t.key, check: t.filter != "" && m.Verb != abi.Delete}
	var err error
	if p.binder, err = newBinder(columns); err != nil {
		return nil, err
	}
	switch m.Verb {
	case abi.Insert:
	case abi.InsertNew, abi.Upsert:
		p.key, err = t.keyOr(m.Key, t.rights.Insert, "insert")
	default:
		p.key, err = t.keyOr(m.Key, t.rights.Key(), "read")
	}
	if err != nil {
		return nil, err
	}
	for _, k := range p.key {
		if t.rights.Sees(t.columns[k].name) {
			p.shown = append(p.shown, k)
		}
	}
	var w strings.Builder
	switch m.Verb {
	case abi.Update:
		err = p.update(&w, t, m, columns)
	case abi.Delete:
		w.WriteString("DELETE FROM main." + t.quoted)
		err = p.where(&w, t, m)
	default:
		err = p.insert(&w, t, m, columns)
	}
	if p.check {
		w.WriteString(" RETURNING (" + t.filter + ")")
	}
	p.sql = w.String()
	return p, err
}

// set returns the table's columns that m writes.
func (p *plan) set(t *seen, m *abi.Mutation, columns []string) ([]int, error) {
	granted, verb := t.rights.Insert, "insert"
	if m.Verb == abi.Update {
		granted, verb = t.rights.Update, "update"
	}
	if m.Columns != nil {
		set, err := t.pick(m.Columns, granted, verb)
		if err != nil {
			return nil, err
		}
		for _, c := range set {
			if t.columns[c].generated {
				return nil, abi.Errorf(abi.InvalidArgument, "columns: %q of %q is generated", t.columns[c].name, t.name)
			}
		}
		return set, nil
	}
	var set []int
	for _, name := range columns {
		c, exists := t.byName[name]
		if exists && t.rights.Sees(name) && (t.columns[c].generated || m.Verb == abi.Update && slices.Contains(p.key, c)) {
			continue
		}
		c, err := t.column(name, granted, verb)
		if err != nil {
			return nil, err
		}
		set = append(set, c)
	}
	return set, nil
}

// param returns the parameter for a column as SQL.
func (p *plan) param(t *seen, column int) (string, error) {
	n, err := p.binder.param(t.columns[column].name)
	return "?" + strconv.Itoa(n), err
}

func (p *plan) insert(w *strings.Builder, t *seen, m *abi.Mutation, columns []string) error {
	set, err := p.set(t, m, columns)
	if err != nil {
		return err
	}
	names, values := make([]string, len(set)), make([]string, len(set))
	for i, c := range set {
		names[i] = t.columns[c].quoted
		if values[i], err = p.param(t, c); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return abi.Errorf(abi.InvalidArgument, "columns: nothing to insert")
	}
	w.WriteString("INSERT INTO main." + t.quoted + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")")
	if m.Verb == abi.Insert {
		return nil
	}
	var conflict, update []string
	for _, k := range p.key {
		if !slices.Contains(set, k) {
			return abi.Errorf(abi.InvalidArgument, "key: column %q is not among those that are written", t.columns[k].name)
		}
		conflict = append(conflict, t.columns[k].quoted)
	}
	w.WriteString(" ON CONFLICT (" + strings.Join(conflict, ", ") + ") DO ")
	if m.Verb == abi.InsertNew {
		w.WriteString("NOTHING")
		return nil
	}
	for _, c := range set {
		if !slices.Contains(p.key, c) {
			if _, err := t.column(t.columns[c].name, t.rights.Update, "update"); err != nil {
				return err
			}
			update = append(update, t.columns[c].quoted+" = excluded."+t.columns[c].quoted)
		}
	}
	if len(update) == 0 { // a row that is all key counts as written
		same, err := t.updatable(p.key[0])
		if err != nil {
			return err
		}
		update = append(update, same.quoted+" = "+same.qualified)
	}
	w.WriteString("UPDATE SET " + strings.Join(update, ", "))
	if t.filter != "" {
		w.WriteString(" WHERE " + t.filter)
	}
	return nil
}

// updatable returns a column that may be updated, the preferred one if it is.
func (s *seen) updatable(preferred int) (column, error) {
	for _, c := range append([]column{s.columns[preferred]}, s.columns...) {
		if s.rights.Update.Has(c.name) && !c.generated {
			return c, nil
		}
	}
	return column{}, abi.Errorf(abi.NotGranted, "collection %q: %q was not granted", s.name, "update")
}

func (p *plan) update(w *strings.Builder, t *seen, m *abi.Mutation, columns []string) error {
	set, err := p.set(t, m, columns)
	if err != nil {
		return err
	}
	if len(set) == 0 {
		return abi.Errorf(abi.InvalidArgument, "columns: nothing to update")
	}
	w.WriteString("UPDATE main." + t.quoted + " SET ")
	for i, c := range set {
		value, err := p.param(t, c)
		if err != nil {
			return err
		}
		if i > 0 {
			w.WriteString(", ")
		}
		w.WriteString(t.columns[c].quoted + " = " + value)
	}
	return p.where(w, t, m)
}

// where writes the condition on key and expectation.
func (p *plan) where(w *strings.Builder, t *seen, m *abi.Mutation) error {
	sep := " WHERE "
	for _, k := range p.key {
		value, err := p.param(t, k)
		if err != nil {
			return err
		}
		w.WriteString(sep + t.columns[k].qualified + " = " + value)
		sep = " AND "
	}
	if t.filter != "" {
		w.WriteString(sep + t.filter)
	}
	expect, err := t.pick(m.Expect, t.rights.Read, "read")
	if err != nil {
		return err
	}
	for _, c := range expect {
		sep = " AND "
		value, err := p.param(t, c)
		if err != nil {
			return err
		}
		column := t.columns[c].qualified
		// The + takes the column's affinity away, which would make '1' equal 1.
		w.WriteString(sep + "+" + column + " COLLATE BINARY IS " + value +
			" AND typeof(" + column + ") = typeof(" + value + ")")
	}
	return nil
}
