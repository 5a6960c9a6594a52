package sdk

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// rowsBuffer is the size of the buffer that rows are read into when the caller
// gives none.
const rowsBuffer = 64 << 10

// Data reads and writes rows. Its errors are the host's, as [abi.Error].
type Data struct {
	port *port
}

// Batches reads rows without decoding them. The caller closes it, unless
// NextBatch has returned the end or an error.
type Batches struct {
	port   *port
	cursor uint32
	buf    []byte
	open   bool
}

// Batches opens a query whose rows are read into buf, which the caller must
// leave alone until the Batches is closed; nil for a buffer of 64 KiB.
func (d *Data) Batches(q abi.Query, buf []byte) (*Batches, error) {
	b := new(Batches)
	return b, b.start(d.port, &q, buf)
}

func (b *Batches) start(p *port, q *abi.Query, buf []byte) error {
	w := wire.Writer{B: p.req[:0]}
	err := w.Query(q)
	p.req = w.B
	if err != nil {
		return abi.Errorf(abi.InvalidArgument, "query of %s.%s: %w", q.Handle, q.Collection, err)
	}
	r := p.host.RowsOpen(w.B)
	if r.Code() != abi.OK {
		return p.failure(abi.ImportRowsOpen, r)
	}
	if cap(buf) == 0 {
		buf = make([]byte, rowsBuffer)
	}
	*b = Batches{port: p, cursor: r.N(), buf: buf[:cap(buf)], open: true}
	return nil
}

// NextBatch returns as many whole rows as fit into the buffer, as a batch that
// package abi documents at Mutation; nil at the end. The bytes are valid until
// the next call. A row that is larger than the buffer comes alone, in a buffer
// of its own size that is used from then on.
func (b *Batches) NextBatch() ([]byte, error) {
	if !b.open {
		return nil, nil
	}
	rows, err := b.port.answered(abi.ImportRowsNext, b.port.host.RowsNext(b.cursor, b.buf), b.buf)
	if err != nil {
		_ = b.Close() // what ended the reading is the error to tell
		return nil, err
	}
	if len(rows) == 0 {
		return nil, b.Close()
	}
	if len(rows) > len(b.buf) {
		b.buf = rows
	}
	return rows, nil
}

// Close ends the query. Closing twice does nothing.
func (b *Batches) Close() error {
	if !b.open {
		return nil
	}
	b.open = false
	return b.port.done(abi.ImportRowsClose, b.port.host.RowsClose(b.cursor))
}

// CountRows returns how many rows match q, which may have a Where but no
// order, bounds, limit or columns; the same goes for Min and Max.
func (d *Data) CountRows(q abi.Query) (int64, error) {
	v, err := d.aggregate(q, "count", "")
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok {
		return 0, abi.Errorf(abi.Internal, "count of %s.%s: the host's answer is no integer", q.Handle, q.Collection)
	}
	return n, nil
}

// Exists says whether a row matches q, which is like that of CountRows. It ends
// at the first such row.
func (d *Data) Exists(q abi.Query) (bool, error) {
	v, err := d.aggregate(q, "exists", "")
	return v == int64(1), err
}

// Min returns the column's smallest value that is not NULL among the rows that
// match q; nil if there is none.
func (d *Data) Min(q abi.Query, column string) (any, error) { return d.aggregate(q, "min", column) }

// Max returns the column's largest value among the rows that match q; nil if
// there is none but NULL.
func (d *Data) Max(q abi.Query, column string) (any, error) { return d.aggregate(q, "max", column) }

func (d *Data) aggregate(q abi.Query, function, column string) (any, error) {
	q.Aggregates = []abi.Aggregate{{Func: function, Column: column}}
	var rows Batches
	if err := rows.start(d.port, &q, d.port.buffer()); err != nil {
		return nil, err
	}
	b, err := rows.NextBatch()
	if err != nil {
		return nil, err
	}
	batch, err := wire.OpenBatch(b)
	if err != nil || !batch.Next() {
		err = batch.Err()
		_ = rows.Close()
		return nil, abi.Errorf(abi.Internal, "%s of %s.%s: the host's answer has no row (%v)", function, q.Handle, q.Collection, err)
	}
	r := wire.NewReader(batch.Row())
	if n, err := r.Array(); err != nil || n != 1 {
		_ = rows.Close()
		return nil, abi.Errorf(abi.Internal, "%s of %s.%s: the host's answer has %d values", function, q.Handle, q.Collection, n)
	}
	v, err := r.Value()
	if err != nil {
		_ = rows.Close()
		return nil, err
	}
	return v, rows.Close()
}

// Rows opens a query whose rows are decoded as they are asked for. The caller
// closes it, unless Next has returned false.
func (d *Data) Rows(q abi.Query) (*Rows, error) {
	rows := &Rows{row: Row{columns: new(columns)}}
	return rows, rows.batches.start(d.port, &q, nil)
}

// Query opens the rows of a query that the operator wrote, by its name and with
// a value for each of its parameters: nil, bool, an integer, a float, string or
// []byte.
func (d *Data) Query(name string, params map[string]any) (*Rows, error) {
	return d.Rows(abi.Query{Named: name, Params: params})
}

// Column is what is known about a column.
type Column struct {
	Collection string
	View       bool // the collection cannot be written
	Name       string
	Type       string // as the schema declares it, may be empty
	Affinity   string // integer, real, text, blob or numeric: what stored values tend to
	Nullable   bool
	Generated  bool // the database computes it, and it cannot be written
	Key        int  // its place in the primary key, from 1, or 0

	Read, Insert, Update bool // what the worker may do with it
	Delete               bool // and with the collection's rows
}

// Describe returns the columns of a collection, or of all that the handle has
// if it is empty, as far as they are granted.
func (d *Data) Describe(handle, collection string) ([]Column, error) {
	rows, err := d.Rows(abi.Query{Handle: handle, Collection: collection, Describe: true})
	if err != nil {
		return nil, err
	}
	var list []Column
	for rows.Next() {
		var c Column
		var key int64
		for name, field := range map[string]any{
			"collection": &c.Collection, "view": &c.View, "column": &c.Name, "type": &c.Type, "affinity": &c.Affinity,
			"nullable": &c.Nullable, "generated": &c.Generated, "key": &key,
			"read": &c.Read, "insert": &c.Insert, "update": &c.Update, "delete": &c.Delete,
		} {
			var n int64
			switch field := field.(type) {
			case *string:
				*field, err = rows.Row().Text(name)
			case *int64:
				*field, err = rows.Row().Int(name)
			case *bool:
				n, err = rows.Row().Int(name)
				*field = n != 0
			}
			if err != nil {
				_ = rows.Close() // this error is the one to tell
				return nil, err
			}
		}
		c.Key = int(key)
		list = append(list, c)
	}
	return list, rows.Err()
}

// Lookup opens the rows of a collection that have the same key as the rows of
// a batch, in the batch's order; those that do not exist are left out. The key
// is the primary key unless columns are named, and the batch must have it.
func (d *Data) Lookup(handle, collection string, batch []byte, key ...string) (*Rows, error) {
	return d.Rows(abi.Query{Handle: handle, Collection: collection, Lookup: batch, Key: key})
}

// ListRows returns all rows of q at once, as copies that stay valid. It is for
// results that are known to be small.
func (d *Data) ListRows(q abi.Query) ([]Row, error) {
	rows, err := d.Rows(q)
	if err != nil {
		return nil, err
	}
	var list []Row
	for rows.Next() {
		list = append(list, rows.row.copy())
	}
	return list, rows.Err()
}
