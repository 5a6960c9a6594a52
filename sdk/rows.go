package sdk

import (
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Rows walks the rows of a query.
//
//	for rows.Next() {
//		id, err := rows.Row().Text("id")
//		…
//	}
//	err := rows.Err()
type Rows struct {
	batches Batches
	batch   wire.Batch
	row     Row
	err     error
}

// Next moves to the next row and says whether there is one.
func (r *Rows) Next() bool {
	for r.err == nil {
		if r.batch.Next() {
			r.row.raw, r.row.spans, r.row.asked = r.batch.Row(), r.batch.Spans(), 0
			return true
		}
		if r.err = r.batch.Err(); r.err != nil {
			break
		}
		b, err := r.batches.NextBatch()
		if err != nil || b == nil {
			r.err = err
			return false
		}
		if r.batch, r.err = wire.OpenBatch(b); r.err == nil {
			r.row.use(r.batch.Columns)
		}
	}
	_ = r.batches.Close() // the error that is there already is the one to tell
	return false
}

// Row returns the current row. It is valid until the next call of Next.
func (r *Rows) Row() *Row { return &r.row }

// Err returns what ended the walk early, or nil at the end of the rows.
func (r *Rows) Err() error { return r.err }

// Close ends the query. Closing twice, or at the end, does nothing.
func (r *Rows) Close() error {
	r.batch = wire.Batch{}
	return r.batches.Close()
}

// columns is where the names of a batch stand in its rows.
type columns struct {
	names []string
	index map[string]int
}

// Row is one row of a query. A column is decoded when it is asked for; the
// errors name it.
type Row struct {
	columns *columns
	raw     []byte
	spans   []wire.Span // of the values in raw

	// Most workers ask every row for the same columns in the same order, so
	// finding one is mostly comparing its name with the one expected.
	order []int // the columns asked for by name, as far as known
	asked int   // how many of them this row was asked for
}

func (r *Row) use(names []string) {
	if slices.Equal(r.columns.names, names) {
		return
	}
	c := &columns{names: names, index: make(map[string]int, len(names))}
	for i, name := range names {
		c.index[name] = i
	}
	r.columns, r.order = c, nil
}

// Columns returns the names of the row's columns, which the caller must not
// change.
func (r *Row) Columns() []string { return r.columns.names }

// Raw returns the row as it came, for [Batch.Raw].
func (r *Row) Raw() []byte { return r.raw }

// Field returns the value of column i of [Row.Columns], from 0. It is faster than
// to ask by name. A column that the row does not have is a Field of no kind.
func (r *Row) Field(i int) Field {
	if uint(i) >= uint(len(r.spans)) {
		return Field{}
	}
	s := &r.spans[i]
	return Field{raw: r.raw[s.Start:s.End:s.End], body: s.Body - s.Start}
}

// copy returns the row as one that stays valid.
func (r *Row) copy() Row {
	return Row{columns: r.columns, raw: slices.Clone(r.raw), spans: slices.Clone(r.spans)}
}

// find returns the place of a column.
func (r *Row) find(column string) (int, bool) {
	at := r.asked
	r.asked++
	if at < len(r.order) {
		if i := r.order[at]; r.columns.names[i] == column {
			return i, true
		}
	}
	i, ok := r.columns.index[column]
	switch {
	case !ok:
	case at < len(r.order):
		r.order[at] = i
	case len(r.order) < maxOrder:
		r.order = append(r.order, i)
	}
	return i, ok
}

// maxOrder is how many columns asked for are known at most: a worker may ask a
// row for as many as it likes.
const maxOrder = 64

// field is Field by name.
func (r *Row) field(column string) (Field, error) {
	i, ok := r.find(column)
	if !ok {
		return Field{}, abi.Errorf(abi.UnknownColumn, "the rows have no column %q", column)
	}
	return r.Field(i), nil
}

// about says which column an error is about.
func about(column string, err error) error {
	if err == nil {
		return nil
	}
	return abi.Errorf(abi.InvalidArgument, "column %q %w", column, err)
}

// IsNull says whether the column is NULL. A column that the row does not have
// is not; asking for its value is an error.
func (r *Row) IsNull(column string) bool {
	f, err := r.field(column)
	return err == nil && f.IsNull()
}

// Int returns a column that is an integer, or a float without a fraction.
func (r *Row) Int(column string) (int64, error) {
	f, err := r.field(column)
	if err != nil {
		return 0, err
	}
	v, err := f.Int()
	return v, about(column, err)
}

// Float returns a column that is a number.
func (r *Row) Float(column string) (float64, error) {
	f, err := r.field(column)
	if err != nil {
		return 0, err
	}
	v, err := f.Float()
	return v, about(column, err)
}

// Text returns a column that is text.
func (r *Row) Text(column string) (string, error) {
	f, err := r.field(column)
	if err != nil {
		return "", err
	}
	v, err := f.Text()
	return v, about(column, err)
}

// Bytes returns a column that is a blob or text, without copying: the bytes
// are valid as long as the row is.
func (r *Row) Bytes(column string) ([]byte, error) {
	f, err := r.field(column)
	if err != nil {
		return nil, err
	}
	v, err := f.Bytes()
	return v, about(column, err)
}

// Value returns a column as nil, int64, float64, string or []byte, as a copy.
func (r *Row) Value(column string) (any, error) {
	f, err := r.field(column)
	if err != nil {
		return nil, err
	}
	v, err := f.Value()
	return v, about(column, err)
}
