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
			r.row.raw = r.batch.Row()
			r.row.starts = r.row.starts[:0]
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
	starts  []uint32 // where the first columns begin in raw, as far as looked at
}

func (r *Row) use(names []string) {
	if slices.Equal(r.columns.names, names) {
		return
	}
	c := &columns{names: names, index: make(map[string]int, len(names))}
	for i, name := range names {
		c.index[name] = i
	}
	r.columns = c
}

// Columns returns the names of the row's columns, which the caller must not
// change.
func (r *Row) Columns() []string { return r.columns.names }

// Raw returns the row as it came, for [Batch.Raw].
func (r *Row) Raw() []byte { return r.raw }

// IsNull says whether the column is NULL. A column that the row does not have
// is not; asking for its value is an error.
func (r *Row) IsNull(column string) bool {
	v, err := r.at(column)
	return err == nil && v.Kind() == wire.KindNil
}

// Int returns a column that is an integer, or a float without a fraction.
func (r *Row) Int(column string) (int64, error) {
	v, err := r.at(column)
	if err != nil {
		return 0, err
	}
	switch v.Kind() {
	case wire.KindInt:
		return v.Int()
	case wire.KindFloat:
		f, err := v.Float()
		if err != nil {
			return 0, err
		}
		if n, err := wholeNumber(f); err == nil {
			return n, nil
		}
	}
	return 0, mismatch(column, &v, errNoInt)
}

// Float returns a column that is a number.
func (r *Row) Float(column string) (float64, error) {
	v, err := r.at(column)
	if err != nil {
		return 0, err
	}
	switch v.Kind() {
	case wire.KindFloat:
		return v.Float()
	case wire.KindInt:
		n, err := v.Int()
		return float64(n), err
	}
	return 0, mismatch(column, &v, errNoNumber)
}

// Text returns a column that is text.
func (r *Row) Text(column string) (string, error) {
	v, err := r.at(column)
	if err != nil {
		return "", err
	}
	if v.Kind() != wire.KindString {
		return "", mismatch(column, &v, errNoText)
	}
	b, err := v.String()
	return string(b), err
}

// Bytes returns a column that is a blob or text, without copying: the bytes
// are valid as long as the row is.
func (r *Row) Bytes(column string) ([]byte, error) {
	v, err := r.at(column)
	if err != nil {
		return nil, err
	}
	switch v.Kind() {
	case wire.KindBytes:
		return v.Bytes()
	case wire.KindString:
		return v.String()
	}
	return nil, mismatch(column, &v, errNoBytes)
}

// Value returns a column as nil, int64, float64, string or []byte, as a copy.
func (r *Row) Value(column string) (any, error) {
	v, err := r.at(column)
	if err != nil {
		return nil, err
	}
	return v.Value()
}

// at returns a reader at the value of a column. The places of the columns
// before it are kept, so that reading a row from left to right walks it once.
func (r *Row) at(column string) (wire.Reader, error) {
	i, ok := r.columns.index[column]
	if !ok {
		return wire.Reader{}, abi.Errorf(abi.UnknownColumn, "the rows have no column %q", column)
	}
	if len(r.starts) == 0 {
		head := wire.NewReader(r.raw)
		if _, err := head.Array(); err != nil {
			return head, abi.Errorf(abi.Internal, "row: %w", err)
		}
		r.starts = append(r.starts, uint32(head.Offset()))
	}
	for len(r.starts) <= i {
		last := r.starts[len(r.starts)-1]
		v := wire.NewReader(r.raw[last:])
		if err := v.Skip(); err != nil {
			return v, abi.Errorf(abi.Internal, "row: column %q: %w", column, err)
		}
		r.starts = append(r.starts, last+uint32(v.Offset()))
	}
	return wire.NewReader(r.raw[r.starts[i]:]), nil
}

func mismatch(column string, v *wire.Reader, reason error) error {
	if v.Kind() == wire.KindNil {
		reason = errNull
	}
	return abi.Errorf(abi.InvalidArgument, "column %q %w", column, reason)
}
