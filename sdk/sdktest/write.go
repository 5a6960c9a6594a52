package sdktest

import (
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// batch is a decoded batch for one table.
type batch struct {
	columns    []string
	rows       [][]any
	key        []int // the key's places in the table
	keyInBatch []int // and in the batch
}

// decode reads a batch and finds the key in it; nil for the primary key.
func (t *Table) decode(raw []byte, key []string) (*batch, error) {
	walk, err := wire.OpenBatch(raw)
	if err != nil {
		return nil, err
	}
	b := &batch{columns: walk.Columns}
	for walk.Next() {
		r := wire.NewReader(walk.Row())
		v, err := r.Value()
		if err != nil {
			return nil, abi.Errorf(abi.InvalidArgument, "batch: row %d: %w", walk.Index(), err)
		}
		row := v.([]any)
		for i := range row {
			row[i], _ = storable(row[i]) // a batch holds nothing else
		}
		b.rows = append(b.rows, row)
	}
	if err := walk.Err(); err != nil {
		return nil, err
	}
	if key == nil {
		key = t.keyNames()
	}
	if b.key, err = t.places(key); err != nil {
		return nil, err
	}
	b.keyInBatch, err = b.places(key)
	return b, err
}

func (b *batch) places(names []string) ([]int, error) {
	at := make([]int, len(names))
	for i, name := range names {
		if at[i] = slices.Index(b.columns, name); at[i] < 0 {
			return nil, abi.Errorf(abi.InvalidArgument, "the batch has no column %q", name)
		}
	}
	return at, nil
}

// write does the mutations on copies of their tables, which take the tables'
// place when all have succeeded.
func (h *Host) write(ms []abi.Mutation, rows []byte) ([]abi.WriteResult, error) {
	if len(ms) == 0 {
		return nil, abi.Errorf(abi.InvalidArgument, "mutation: none given")
	}
	changed := map[*Table]*Table{}
	results := make([]abi.WriteResult, len(ms))
	for i, m := range ms {
		if m.Handle != ms[0].Handle {
			return nil, abi.Errorf(abi.InvalidArgument, "mutation %d is on %s, the first on %s: one handle for each call", i, m.Handle, ms[0].Handle)
		}
		size := m.Size
		if size == 0 {
			size = int64(len(rows))
		}
		if size < 0 || size > int64(len(rows)) {
			return nil, abi.Errorf(abi.InvalidArgument, "mutation %d has a size of %d of the %d bytes left", i, m.Size, len(rows))
		}
		t, err := h.table(m.Handle, m.Collection)
		if err != nil {
			return nil, err
		}
		work := changed[t]
		if work == nil {
			clone := *t
			clone.rows = slices.Clone(t.rows)
			work = &clone
			changed[t] = work
		}
		if results[i], err = work.apply(&m, rows[:size]); err != nil {
			return nil, err
		}
		rows = rows[size:]
	}
	if len(rows) > 0 {
		return nil, abi.Errorf(abi.InvalidArgument, "mutation: %d bytes of rows behind the last", len(rows))
	}
	for t, work := range changed {
		t.rows = work.rows
	}
	return results, nil
}

func (t *Table) apply(m *abi.Mutation, raw []byte) (abi.WriteResult, error) {
	var res abi.WriteResult
	b, err := t.decode(raw, m.Key)
	if err != nil {
		return res, err
	}
	set, err := t.written(m, b)
	if err != nil {
		return res, err
	}
	expect, err := t.mapping(m.Expect, b)
	if err != nil {
		return res, err
	}
	if m.Expect != nil && m.Verb != abi.Update && m.Verb != abi.Delete {
		return res, abi.Errorf(abi.InvalidArgument, "mutation: %s takes no expect", m.Verb)
	}
	primary := t.index(t.key)
	index := primary
	if !slices.Equal(b.key, t.key) {
		index = t.index(b.key)
	}
	gone := map[int]bool{}
	for n, row := range b.rows {
		key, keyed := keyOf(row, b.keyInBatch)
		at, exists := index[key]
		exists = exists && keyed && !gone[at]
		if exists && at == twice {
			return res, t.ambiguous(n)
		}
		applied := false
		switch m.Verb {
		case abi.Insert, abi.InsertNew, abi.Upsert:
			if exists && m.Verb == abi.Upsert {
				t.rows[at] = overlay(t.rows[at], row, set)
				applied = true
				break
			}
			if exists && m.Verb == abi.InsertNew {
				break
			}
			fresh := overlay(make([]any, len(t.columns)), row, set)
			pk, ok := keyOf(fresh, t.key)
			if !ok {
				return res, abi.Errorf(abi.Conflict, "%s.%s: row %d has NULL in its primary key", t.handle, t.collection, n)
			}
			if _, taken := primary[pk]; taken {
				return res, abi.Errorf(abi.Conflict, "%s.%s: row %d exists already: %s", t.handle, t.collection, n, asText(fresh[t.key[0]]))
			}
			t.rows = append(t.rows, fresh)
			primary[pk] = len(t.rows) - 1
			if keyed {
				index[key] = len(t.rows) - 1
			}
			applied = true
		case abi.Update:
			if applied = exists && expected(t.rows[at], row, expect); applied {
				t.rows[at] = overlay(t.rows[at], row, set)
			}
		case abi.Delete:
			if applied = exists && expected(t.rows[at], row, expect); applied {
				gone[at] = true
			}
		default:
			return res, abi.Errorf(abi.InvalidArgument, "mutation: unknown op %q", m.Verb)
		}
		if applied {
			res.Applied++
		} else {
			res.Unapplied = append(res.Unapplied, int64(n))
		}
	}
	kept := t.rows[:0]
	for i, row := range t.rows {
		if !gone[i] {
			kept = append(kept, row)
		}
	}
	t.rows = kept
	return res, nil
}

// pair is a column's place in the table and in the batch.
type pair struct{ table, batch int }

// written is the columns that a mutation writes.
func (t *Table) written(m *abi.Mutation, b *batch) ([]pair, error) {
	names := m.Columns
	switch {
	case m.Verb == abi.Delete:
		return nil, nil
	case names == nil && m.Verb == abi.Update:
		names = slices.DeleteFunc(slices.Clone(b.columns), func(name string) bool {
			return slices.Contains(b.keyInBatch, slices.Index(b.columns, name))
		})
	case names == nil:
		names = b.columns
	}
	return t.mapping(names, b)
}

func (t *Table) mapping(names []string, b *batch) ([]pair, error) {
	inTable, err := t.places(names)
	if err != nil {
		return nil, err
	}
	inBatch, err := b.places(names)
	if err != nil {
		return nil, err
	}
	pairs := make([]pair, len(names))
	for i := range names {
		pairs[i] = pair{inTable[i], inBatch[i]}
	}
	return pairs, nil
}

// overlay returns a copy of old with the new values of some columns.
func overlay(old, row []any, set []pair) []any {
	out := slices.Clone(old)
	for _, p := range set {
		out[p.table] = row[p.batch]
	}
	return out
}

func expected(stored, row []any, expect []pair) bool {
	for _, p := range expect {
		if !identical(stored[p.table], row[p.batch]) {
			return false
		}
	}
	return true
}
