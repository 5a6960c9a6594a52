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
	spans   []Span
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
	if err := readStrings(&batch.r, &batch.Columns); err != nil {
		return batch, invalid("batch: column names", err)
	}
	batch.spans = make([]Span, len(batch.Columns))
	return batch, nil
}

// Next moves to the next row and says whether there is one.
func (b *Batch) Next() bool {
	if b.err != nil || b.r.Len() == 0 {
		return false
	}
	start := b.r.off
	row := b.r.b[start:]
	n, err := b.r.Array()
	if err == nil && n != len(b.spans) {
		b.err = abi.Errorf(abi.InvalidArgument, "batch: row %d has %d values for %d columns", b.n, n, len(b.spans))
		return false
	}
	var end int
	if err == nil {
		if end = spans(row, b.r.off-start, b.spans); end == 0 {
			err = b.r.refusal(n)
		}
	}
	if err != nil {
		b.err = abi.Errorf(abi.InvalidArgument, "batch: row %d: %w", b.n, err)
		return false
	}
	b.row = row[:end:end]
	b.r.off = start + end
	b.n++
	return true
}

// Row returns the bytes of the current row, part of what the batch was opened on.
func (b *Batch) Row() []byte { return b.row }

// Spans returns where the values of the current row stand in it, one for each
// column. They are overwritten by Next.
func (b *Batch) Spans() []Span { return b.spans }

// Value returns the bytes of a value of the current row.
func (b *Batch) Value(column int) []byte {
	s := b.spans[column]
	return b.row[s.Start:s.End:s.End]
}

// Index returns the current row's place in the batch, from 0.
func (b *Batch) Index() int64 { return b.n - 1 }

// Err returns what ended the walk early, or nil at the end of the batch.
func (b *Batch) Err() error { return b.err }
