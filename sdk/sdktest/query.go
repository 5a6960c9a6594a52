package sdktest

import (
	"maps"
	"reflect"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// cursor is the rest of an open query's answer.
type cursor struct {
	columns []string
	rows    [][]any
}

func (r *run) open(q *abi.Query) (uint32, error) {
	c, err := r.h.query(q)
	if err != nil {
		return 0, err
	}
	r.opened++
	r.cursors[r.opened] = c
	return r.opened, nil
}

func (r *run) cursor(id uint32) (*cursor, error) {
	c, ok := r.cursors[id]
	if !ok {
		return nil, abi.Errorf(abi.InvalidArgument, "cursor %d is not open", id)
	}
	return c, nil
}

// next encodes as many rows as fit. The first that does not fit even alone
// becomes what is pending.
func (c *cursor) next(r *run, buf []byte) (uint32, error) {
	if len(c.rows) == 0 {
		return 0, nil
	}
	w := encodeBatch(c.columns, nil)
	most := len(r.bounded(buf))
	n := 0
	for _, row := range c.rows {
		end := len(w.B)
		encodeRow(&w, row)
		if len(w.B) > most && n > 0 {
			w.B = w.B[:end]
			break
		}
		n++
		if len(w.B) > most {
			break
		}
	}
	c.rows = c.rows[n:]
	return r.answer(w.B, buf)
}

func encodeBatch(columns []string, rows [][]any) wire.Writer {
	var w wire.Writer
	w.Array(len(columns))
	for _, name := range columns {
		w.String(name)
	}
	for _, row := range rows {
		encodeRow(&w, row)
	}
	return w
}

func encodeRow(w *wire.Writer, row []any) {
	w.Array(len(row))
	for _, v := range row {
		if err := w.Value(v); err != nil {
			panic("sdktest: a table holds what cannot be sent: " + err.Error())
		}
	}
}

// Query provides a query of the operator's under a name: f returns the columns
// and rows for the values that the worker gave its parameters.
func (h *Host) Query(name string, f func(params map[string]any) (columns []string, rows [][]any, err error)) {
	h.queries[name] = f
}

func (h *Host) query(q *abi.Query) (*cursor, error) {
	switch {
	case q.Named != "":
		return h.named(q)
	case q.Describe:
		return h.describe(q)
	case q.Params != nil:
		return nil, abi.Errorf(abi.InvalidArgument, "query: params: goes with named only")
	}
	t, err := h.table(q.Handle, q.Collection)
	if err != nil {
		return nil, err
	}
	if err := checkQuery(q); err != nil {
		return nil, err
	}
	if q.Lookup != nil {
		return t.lookup(q)
	}
	rows, err := t.filter(q.Where)
	if err != nil {
		return nil, err
	}
	if rows, err = t.order(rows, q); err != nil {
		return nil, err
	}
	if q.Limit > 0 && int64(len(rows)) > q.Limit {
		rows = rows[:q.Limit]
	}
	if q.Aggregates != nil {
		return t.aggregate(rows, q)
	}
	return t.project(rows, q.Columns)
}

func (h *Host) named(q *abi.Query) (*cursor, error) {
	f, ok := h.queries[q.Named]
	if !ok {
		return nil, abi.Errorf(abi.NotGranted, "query %q was not granted", q.Named)
	}
	if only := (abi.Query{Named: q.Named, Params: q.Params}); !reflect.DeepEqual(*q, only) {
		return nil, abi.Errorf(abi.InvalidArgument, "query: named: goes with params only")
	}
	for name, v := range q.Params {
		if _, ok := storable(v); !ok {
			return nil, abi.Errorf(abi.InvalidArgument, "query: params: %q has the type %T", name, v)
		}
	}
	columns, rows, err := f(q.Params)
	if err != nil {
		return nil, err
	}
	c := &cursor{columns: columns}
	for i, row := range rows {
		if len(row) != len(columns) {
			return nil, abi.Errorf(abi.Internal, "sdktest: query %q: row %d has %d values for %d columns", q.Named, i, len(row), len(columns))
		}
		stored := make([]any, len(row))
		for j, v := range row {
			if stored[j], ok = storable(v); !ok {
				return nil, abi.Errorf(abi.Internal, "sdktest: query %q: row %d has a %T", q.Named, i, v)
			}
		}
		c.rows = append(c.rows, stored)
	}
	return c, nil
}

// describe answers what a store says of columns that take any value.
func (h *Host) describe(q *abi.Query) (*cursor, error) {
	if only := (abi.Query{Handle: q.Handle, Collection: q.Collection, Describe: true}); !reflect.DeepEqual(*q, only) {
		return nil, abi.Errorf(abi.InvalidArgument, "query: describe: goes with handle and collection only")
	}
	collections := []string{q.Collection}
	if q.Collection == "" {
		collections = slices.Sorted(maps.Keys(h.tables[q.Handle]))
	}
	if len(collections) == 0 {
		return nil, abi.Errorf(abi.UnknownHandle, "no database has the handle %q", q.Handle)
	}
	c := &cursor{columns: abi.DescribeColumns}
	for _, name := range collections {
		t, err := h.table(q.Handle, name)
		if err != nil {
			return nil, err
		}
		for i, column := range t.columns {
			key := int64(slices.Index(t.key, i) + 1)
			c.rows = append(c.rows, []any{name, int64(0), column, "", "blob", int64(1), int64(0), key, int64(1), int64(1), int64(1), int64(1)})
		}
	}
	return c, nil
}

// checkQuery refuses what no store takes.
func checkQuery(q *abi.Query) error {
	bounded := q.OrderBy != nil || q.Limit != 0 || q.After != nil || q.Until != nil
	for _, wrong := range []struct {
		is   bool
		text string
	}{
		{q.Limit < 0, "limit: it is negative"},
		{q.Lookup == nil && q.Key != nil, "key: goes with lookup only"},
		{q.Lookup != nil && (bounded || q.Where != nil || q.Aggregates != nil), "lookup: goes with columns and key only"},
		{q.Aggregates != nil && (bounded || q.Columns != nil), "aggregates: go with where only"},
		{q.Aggregates != nil && len(q.Aggregates) == 0, "aggregates: an empty list"},
		{q.Columns != nil && len(q.Columns) == 0, "columns: an empty list"},
	} {
		if wrong.is {
			return abi.Errorf(abi.InvalidArgument, "query: %s", wrong.text)
		}
	}
	return nil
}

func (t *Table) project(rows [][]any, names []string) (*cursor, error) {
	if names == nil {
		names = t.columns
	}
	at, err := t.places(names)
	if err != nil {
		return nil, err
	}
	c := &cursor{columns: names}
	for _, row := range rows {
		out := make([]any, len(at))
		for i, place := range at {
			out[i] = row[place]
		}
		c.rows = append(c.rows, out)
	}
	return c, nil
}

func (t *Table) filter(where []abi.Condition) ([][]any, error) {
	rows := slices.Clone(t.rows)
	for _, c := range where {
		at, err := t.places([]string{c.Column})
		if err != nil {
			return nil, err
		}
		match, err := matcher(c)
		if err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(row []any) bool { return !match(row[at[0]]) })
	}
	return rows, nil
}

func matcher(c abi.Condition) (func(v any) bool, error) {
	switch c.Op {
	case abi.IsNull:
		return func(v any) bool { return v == nil }, nil
	case abi.NotNull:
		return func(v any) bool { return v != nil }, nil
	case abi.In:
		list, ok := c.Value.([]any)
		if !ok {
			return nil, abi.Errorf(abi.InvalidArgument, "query: in of column %q takes a list", c.Column)
		}
		values := make([]any, len(list))
		for i, v := range list {
			if values[i], ok = storable(v); !ok {
				return nil, abi.Errorf(abi.InvalidArgument, "query: column %q is compared with a %T", c.Column, v)
			}
		}
		return func(v any) bool {
			return slices.ContainsFunc(values, func(other any) bool { return same(v, other) })
		}, nil
	}
	value, ok := storable(c.Value)
	if !ok {
		return nil, abi.Errorf(abi.InvalidArgument, "query: column %q is compared with a %T", c.Column, c.Value)
	}
	var decide func(v any) bool
	switch c.Op {
	case abi.Equal:
		decide = func(v any) bool { return compare(v, value) == 0 }
	case abi.NotEqual:
		decide = func(v any) bool { return compare(v, value) != 0 }
	case abi.Less:
		decide = func(v any) bool { return compare(v, value) < 0 }
	case abi.LessOrEqual:
		decide = func(v any) bool { return compare(v, value) <= 0 }
	case abi.Greater:
		decide = func(v any) bool { return compare(v, value) > 0 }
	case abi.GreaterOrEqual:
		decide = func(v any) bool { return compare(v, value) >= 0 }
	case abi.Like:
		pattern := []rune(asText(value))
		decide = func(v any) bool { return like(pattern, []rune(asText(v))) }
	default:
		return nil, abi.Errorf(abi.InvalidArgument, "query: unknown operator %q", c.Op)
	}
	return func(v any) bool { return v != nil && value != nil && decide(v) }, nil
}

// order sorts the rows and cuts off what lies outside of the bounds.
func (t *Table) order(rows [][]any, q *abi.Query) ([][]any, error) {
	names := make([]string, len(q.OrderBy))
	for i, o := range q.OrderBy {
		names[i] = o.Column
	}
	at, err := t.places(names)
	if err != nil {
		return nil, err
	}
	for name, bound := range map[string][]any{"after": q.After, "until": q.Until} {
		if bound != nil && (len(at) == 0 || len(bound) != len(at)) {
			return nil, abi.Errorf(abi.InvalidArgument, "query: %s has %d values for an order of %d columns", name, len(bound), len(at))
		}
		for i := range bound {
			var ok bool
			if bound[i], ok = storable(bound[i]); !ok {
				return nil, abi.Errorf(abi.InvalidArgument, "query: %s bounds column %q by no single value", name, names[i])
			}
		}
	}
	place := func(row []any) []any {
		p := make([]any, len(at))
		for i, c := range at {
			p[i] = row[c]
		}
		return p
	}
	by := func(a, b []any) int {
		for i, o := range q.OrderBy {
			c := compare(a[i], b[i])
			if o.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	}
	rows = slices.DeleteFunc(rows, func(row []any) bool {
		p := place(row)
		return q.After != nil && by(p, q.After) <= 0 || q.Until != nil && by(p, q.Until) > 0
	})
	slices.SortStableFunc(rows, func(a, b []any) int { return by(place(a), place(b)) })
	return rows, nil
}

func (t *Table) aggregate(rows [][]any, q *abi.Query) (*cursor, error) {
	c := &cursor{rows: [][]any{nil}}
	for _, a := range q.Aggregates {
		switch a.Func {
		case "count":
			c.columns = append(c.columns, "count")
			c.rows[0] = append(c.rows[0], int64(len(rows)))
			continue
		case "exists":
			c.columns = append(c.columns, "exists")
			c.rows[0] = append(c.rows[0], int64(min(len(rows), 1)))
			continue
		}
		sign := map[string]int{"min": -1, "max": 1}[a.Func]
		if sign == 0 {
			return nil, abi.Errorf(abi.InvalidArgument, "query: unknown aggregate %q", a.Func)
		}
		at, err := t.places([]string{a.Column})
		if err != nil {
			return nil, err
		}
		var best any
		for _, row := range rows {
			if v := row[at[0]]; v != nil && (best == nil || compare(v, best) == sign) {
				best = v
			}
		}
		c.columns = append(c.columns, a.Func+"("+a.Column+")")
		c.rows[0] = append(c.rows[0], best)
	}
	return c, nil
}

func (t *Table) lookup(q *abi.Query) (*cursor, error) {
	b, err := t.decode(q.Lookup, q.Key)
	if err != nil {
		return nil, err
	}
	index := t.index(b.key)
	var found [][]any
	for n, row := range b.rows {
		key, ok := keyOf(row, b.keyInBatch)
		if !ok {
			continue
		}
		i, ok := index[key]
		if i == twice {
			return nil, t.ambiguous(n)
		}
		if ok {
			found = append(found, t.rows[i])
		}
	}
	return t.project(found, q.Columns)
}

// twice is the place of a key that more than one row has.
const twice = -1

// index is the places of the rows by the values of some columns.
func (t *Table) index(columns []int) map[string]int {
	m := make(map[string]int, len(t.rows))
	for i, row := range t.rows {
		key, ok := keyOf(row, columns)
		if !ok {
			continue
		}
		if _, ok := m[key]; ok {
			i = twice
		}
		m[key] = i
	}
	return m
}

func (t *Table) ambiguous(n int) error {
	return abi.Errorf(abi.Conflict, "%s.%s: more than one row has the key of row %d", t.handle, t.collection, n)
}
