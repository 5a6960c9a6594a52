package sdktest

import (
	"slices"

	"github.com/wasmhost/wasmhost/abi"
)

// Table is a collection in memory.
type Table struct {
	h          *Host
	handle     string
	collection string
	columns    []string
	key        []int // the primary key
	rows       [][]any
}

// Table makes a collection with these columns and primary key; without a key,
// the first column is it. The handle exists from then on.
func (h *Host) Table(handle, collection string, columns []string, key ...string) *Table {
	h.t.Helper()
	if len(columns) == 0 {
		h.t.Fatalf("sdktest: table %s.%s has no columns", handle, collection)
	}
	if len(key) == 0 {
		key = columns[:1]
	}
	t := &Table{h: h, handle: handle, collection: collection, columns: slices.Clone(columns)}
	for _, name := range key {
		i := slices.Index(columns, name)
		if i < 0 {
			h.t.Fatalf("sdktest: table %s.%s has no column %q for its key", handle, collection, name)
		}
		t.key = append(t.key, i)
	}
	if h.tables[handle] == nil {
		h.tables[handle] = map[string]*Table{}
	}
	h.tables[handle][collection] = t
	return t
}

// Insert adds a row, or replaces the one with the same primary key: nil, int,
// int64, float64, bool, string or []byte for each column.
func (t *Table) Insert(values ...any) *Table {
	t.h.t.Helper()
	if len(values) != len(t.columns) {
		t.h.t.Fatalf("sdktest: %d values for the %d columns of %s.%s", len(values), len(t.columns), t.handle, t.collection)
	}
	row := make([]any, len(values))
	for i, v := range values {
		var ok bool
		if row[i], ok = storable(v); !ok {
			t.h.t.Fatalf("sdktest: %s.%s cannot store a %T in column %q", t.handle, t.collection, v, t.columns[i])
		}
	}
	if i, ok := t.find(row, t.key); ok {
		t.rows[i] = row
	} else {
		t.rows = append(t.rows, row)
	}
	return t
}

// Delete deletes the row with a primary key and says whether there was one.
func (t *Table) Delete(key ...any) bool {
	t.h.t.Helper()
	if len(key) != len(t.key) {
		t.h.t.Fatalf("sdktest: %d values for the key of %s.%s, which has %d", len(key), t.handle, t.collection, len(t.key))
	}
	row := make([]any, len(t.columns))
	for i, v := range key {
		row[t.key[i]], _ = storable(v)
	}
	i, ok := t.find(row, t.key)
	if ok {
		t.rows = slices.Delete(t.rows, i, i+1)
	}
	return ok
}

// Rows returns a copy of the rows, in the order of the primary key.
func (t *Table) Rows() [][]any {
	rows := make([][]any, len(t.rows))
	for i, row := range t.rows {
		rows[i] = slices.Clone(row)
	}
	slices.SortStableFunc(rows, func(a, b []any) int {
		for _, c := range t.key {
			if d := compare(a[c], b[c]); d != 0 {
				return d
			}
		}
		return 0
	})
	return rows
}

// Rows returns a copy of a table's rows, in the order of the primary key.
func (h *Host) Rows(handle, collection string) [][]any {
	h.t.Helper()
	t, err := h.table(handle, collection)
	if err != nil {
		h.t.Fatalf("sdktest: %v", err)
	}
	return t.Rows()
}

func (h *Host) table(handle, collection string) (*Table, error) {
	db, ok := h.tables[handle]
	if !ok {
		return nil, abi.Errorf(abi.UnknownHandle, "no database has the handle %q", handle)
	}
	t, ok := db[collection]
	if !ok {
		return nil, abi.Errorf(abi.UnknownCollection, "%s has no table %q", handle, collection)
	}
	return t, nil
}

// find returns the place of the row whose columns equal those of row.
func (t *Table) find(row []any, columns []int) (int, bool) {
	for i, other := range t.rows {
		equal := true
		for _, c := range columns {
			if !same(row[c], other[c]) {
				equal = false
				break
			}
		}
		if equal {
			return i, true
		}
	}
	return 0, false
}

// places returns where the named columns stand.
func (t *Table) places(names []string) ([]int, error) {
	at := make([]int, len(names))
	for i, name := range names {
		if at[i] = slices.Index(t.columns, name); at[i] < 0 {
			return nil, abi.Errorf(abi.UnknownColumn, "%s.%s has no column %q", t.handle, t.collection, name)
		}
	}
	return at, nil
}

func (t *Table) keyNames() []string {
	names := make([]string, len(t.key))
	for i, c := range t.key {
		names[i] = t.columns[c]
	}
	return names
}
