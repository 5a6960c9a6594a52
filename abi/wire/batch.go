package wire

import "github.com/wasmhost/wasmhost/abi"

// Batch walks the rows of a batch without decoding them: an array of column
// names, then one array of as many values for each row.
//
//	b, err := wire.OpenBatch(bytes)
//	for b.Next() {
//		row := b.Row() // the row's bytes, its array header included
//	}
//	err = b.Err()
type Batch struct {
	Columns []string
	r       Reader
	row     []byte
	err     error
	n       int64
}

// OpenBatch reads the names of a batch. No bytes at all are a batch without
// columns and rows.
func OpenBatch(b []byte) (Batch, error) {
	batch := Batch{r: NewReader(b)}
	if len(b) == 0 {
		return batch, nil
	}
	err := readStrings(&batch.r, &batch.Columns)
	return batch, invalid("batch: column names", err)
}

// Next moves to the next row and says whether there is one.
func (b *Batch) Next() bool {
	if b.err != nil || b.r.Len() == 0 {
		return false
	}
	start := b.r.off
	n, err := b.r.Array()
	if err == nil && n != len(b.Columns) {
		b.err = abi.Errorf(abi.InvalidArgument, "batch: row %d has %d values for %d columns", b.n, n, len(b.Columns))
		return false
	}
	for range n {
		if err != nil {
			break
		}
		if k := b.r.Kind(); k == KindArray || k == KindMap {
			err = ErrType // a column holds a scalar
			break
		}
		err = b.r.Skip()
	}
	if err != nil {
		b.err = abi.Errorf(abi.InvalidArgument, "batch: row %d: %w", b.n, err)
		return false
	}
	b.row = b.r.b[start:b.r.off:b.r.off]
	b.n++
	return true
}

// Row returns the bytes of the current row, part of what the batch was opened on.
func (b *Batch) Row() []byte { return b.row }

// Index returns the current row's place in the batch, from 0.
func (b *Batch) Index() int64 { return b.n - 1 }

// Err returns what ended the walk early, or nil at the end of the batch.
func (b *Batch) Err() error { return b.err }
