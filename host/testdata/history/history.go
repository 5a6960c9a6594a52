// Package history is a worker that does random reads and writes on one lane of
// a table and returns what each came to. The same seed and lane are the same
// history, whatever serves it and whatever happens on other lanes.
package history

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk"
)

// Handle, Collection and Columns are of the table; its key is the first.
const (
	Handle     = "primary"
	Collection = "m"
)

var Columns = []string{"id", "i", "s", "b", "r"}

// Schema makes the table in SQLite.
const Schema = `CREATE TABLE m (id TEXT PRIMARY KEY, i INTEGER, s TEXT, b BLOB, r REAL)`

type history struct {
	rnd  *rand.Rand
	lane string
	data *sdk.Data
}

// Work is the worker. The payload has seed, lane and steps.
func Work(t *sdk.Task) error {
	seed, err := t.Payload.Int("seed")
	if err != nil {
		return err
	}
	lane, err := t.Payload.String("lane")
	if err != nil {
		return err
	}
	steps, err := t.Payload.Int("steps")
	if err != nil {
		return err
	}
	h := &history{rnd: rand.New(rand.NewPCG(uint64(seed), uint64(lane[0]))), lane: lane, data: t.Data}
	var lines []any
	for range steps {
		lines = append(lines, h.step())
	}
	return t.Return(map[string]any{"lines": lines})
}

func (h *history) step() string {
	if h.rnd.IntN(5) == 0 {
		return h.several()
	}
	if h.rnd.IntN(2) == 0 {
		return h.read()
	}
	m, batch := h.mutation()
	result, err := h.data.Write(m, batch)
	return told(fmt.Sprintf("%s expect %v", m.Verb, m.Expect), result, err)
}

// told is a line about a call. Of errors only the code is the same everywhere.
func told(what string, result any, err error) string {
	if err != nil {
		return fmt.Sprintf("%s: %v", what, abi.CodeOf(err))
	}
	return fmt.Sprintf("%s: %v", what, result)
}

func (h *history) id() string { return fmt.Sprintf("%s%02d", h.lane, h.rnd.IntN(30)) }

func (h *history) mutation() (abi.Mutation, []byte) {
	verbs := []abi.Verb{abi.Insert, abi.InsertNew, abi.Upsert, abi.Update, abi.Delete}
	m := abi.Mutation{Handle: Handle, Collection: Collection, Verb: verbs[h.rnd.IntN(len(verbs))]}
	if (m.Verb == abi.Update || m.Verb == abi.Delete) && h.rnd.IntN(2) == 0 {
		m.Expect = []string{Columns[1+h.rnd.IntN(4)]}
	}
	b := sdk.NewBatch(Columns...)
	for range h.rnd.IntN(6) {
		b.Row().Text(h.id())
		h.maybe(b, func() { b.Int(h.rnd.Int64N(4)) })
		h.maybe(b, func() { b.Text(strings.Repeat("ä", h.rnd.IntN(4))) })
		h.maybe(b, func() { b.Blob(make([]byte, h.rnd.IntN(3))) })
		h.maybe(b, func() { b.Float(float64(h.rnd.IntN(3)) / 2) })
	}
	raw, err := b.Bytes()
	if err != nil {
		panic(err) // the worker's own mistake
	}
	return m, raw
}

func (h *history) maybe(b *sdk.Batch, value func()) {
	if h.rnd.IntN(4) == 0 {
		b.Null()
	} else {
		value()
	}
}

// several does some mutations as one.
func (h *history) several() string {
	var changes []sdk.Change
	what := "all of"
	for range 1 + h.rnd.IntN(4) {
		m, batch := h.mutation()
		changes = append(changes, sdk.Change{Mutation: m, Batch: batch})
		what += " " + string(m.Verb)
	}
	results, err := h.data.WriteAll(changes...)
	return told(what, results, err)
}

// own is a query of the lane's rows.
func (h *history) own(where ...abi.Condition) abi.Query {
	return abi.Query{Handle: Handle, Collection: Collection, Where: append(where,
		abi.Condition{Column: "id", Op: abi.GreaterOrEqual, Value: h.lane},
		abi.Condition{Column: "id", Op: abi.Less, Value: h.lane + "~"})}
}

func (h *history) read() string {
	value := []any{h.rnd.Int64N(4), strings.Repeat("ä", h.rnd.IntN(4)), make([]byte, h.rnd.IntN(3)), float64(h.rnd.IntN(3)) / 2}
	column := h.rnd.IntN(4)
	where := abi.Condition{Column: Columns[1+column], Value: value[column]}
	ops := []abi.Op{abi.Equal, abi.NotEqual, abi.Less, abi.LessOrEqual, abi.Greater, abi.GreaterOrEqual, abi.IsNull, abi.NotNull}
	where.Op = ops[h.rnd.IntN(len(ops))]
	switch h.rnd.IntN(5) {
	case 0:
		n, err := h.data.CountRows(h.own(where))
		return told("count", n, err)
	case 1:
		v, err := h.data.Min(h.own(where), where.Column)
		return told("min "+where.Column, v, err)
	case 2:
		v, err := h.data.Max(h.own(where), where.Column)
		return told("max "+where.Column, v, err)
	case 3:
		b := sdk.NewBatch("id")
		for range h.rnd.IntN(8) {
			b.Row().Text(h.id())
		}
		raw, err := b.Bytes()
		if err != nil {
			panic(err) // the worker's own mistake
		}
		rows, err := h.data.Lookup(Handle, Collection, raw)
		if err != nil {
			return told("lookup", nil, err)
		}
		list, err := all(rows)
		return told("lookup", list, err)
	}
	q := h.own(where)
	by := Columns[1+h.rnd.IntN(4)]
	q.OrderBy = []abi.Order{{Column: by, Descending: h.rnd.IntN(2) == 0}, {Column: "id", Descending: h.rnd.IntN(2) == 0}}
	if h.rnd.IntN(2) == 0 {
		q.OrderBy = []abi.Order{{Column: "id", Descending: h.rnd.IntN(2) == 0}}
		q.After = []any{h.id()}
	}
	q.Limit = h.rnd.Int64N(10)
	rows, err := h.data.Rows(q)
	if err != nil {
		return told("list", nil, err)
	}
	list, err := all(rows)
	return told("list by "+by, list, err)
}

// all returns the rows as they came, every byte of them.
func all(rows *sdk.Rows) ([]string, error) {
	var list []string
	for rows.Next() {
		r := wire.NewReader(rows.Row().Raw())
		v, err := r.Value()
		if err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprintf("%#v", v))
	}
	return list, rows.Err()
}
