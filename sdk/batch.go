package sdk

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Batch builds the rows of a write: the columns once, then the values of each
// row in their order.
//
//	b := sdk.NewBatch("id", "body", "stars")
//	b.Row().Text("a").Text("hello").Int(5)
//	b.Row().Text("b").Null().Int(0)
//
// A row with too few or too many values makes the write fail, and [Batch.Err]
// say which.
type Batch struct {
	w       wire.Writer
	columns int
	head    int // bytes of the names
	rows    int
	owed    int // values that the last row still needs
	err     error
}

// NewBatch returns a batch of no rows.
func NewBatch(columns ...string) *Batch {
	b := &Batch{columns: len(columns)}
	b.w.Array(len(columns))
	for _, c := range columns {
		b.w.String(c)
	}
	b.head = len(b.w.B)
	return b
}

// Row begins a row.
func (b *Batch) Row() *Batch {
	b.complete()
	b.rows++
	b.owed = b.columns
	b.w.Array(b.columns)
	return b
}

// Int adds an integer to the row.
func (b *Batch) Int(v int64) *Batch {
	if b.room() {
		b.w.Int(v)
	}
	return b
}

// Float adds a float to the row.
func (b *Batch) Float(v float64) *Batch {
	if b.room() {
		b.w.Float(v)
	}
	return b
}

// Text adds text to the row.
func (b *Batch) Text(v string) *Batch {
	if b.room() {
		b.w.String(v)
	}
	return b
}

// Blob adds bytes to the row; nil is a blob of no bytes.
func (b *Batch) Blob(v []byte) *Batch {
	if b.room() {
		b.w.Bytes(v)
	}
	return b
}

// Null adds NULL to the row.
func (b *Batch) Null() *Batch {
	if b.room() {
		b.w.Nil()
	}
	return b
}

// Bool adds 1 or 0 to the row: a database without booleans stores them so.
func (b *Batch) Bool(v bool) *Batch {
	if v {
		return b.Int(1)
	}
	return b.Int(0)
}

// Raw adds a whole row as it came from [Row.Raw] or wire.Batch: it must be an
// array of as many values as the batch has columns, which the host checks.
func (b *Batch) Raw(row []byte) *Batch {
	b.complete()
	b.rows++
	b.w.Raw(row)
	return b
}

// Len returns the number of rows.
func (b *Batch) Len() int { return b.rows }

// Err returns what is wrong with the rows so far.
func (b *Batch) Err() error {
	b.complete()
	return b.err
}

// Bytes returns the batch as the contract has it, valid until the next change.
func (b *Batch) Bytes() ([]byte, error) { return b.w.B, b.Err() }

// Reset removes the rows and keeps the columns and the room.
func (b *Batch) Reset() {
	b.w.B = b.w.B[:b.head]
	b.rows, b.owed, b.err = 0, 0, nil
}

func (b *Batch) room() bool {
	if b.owed > 0 {
		b.owed--
		return true
	}
	b.fail("has more values than the %d columns")
	return false
}

func (b *Batch) complete() {
	if b.owed > 0 {
		b.fail("has fewer values than the %d columns")
	}
	b.owed = 0
}

func (b *Batch) fail(format string) {
	if b.err == nil {
		b.err = abi.Errorf(abi.InvalidArgument, "batch: row %d "+format, b.rows-1, b.columns)
	}
}
