package main

import (
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// pageBytes is when a page is full, whatever its number of rows.
const pageBytes = 4 << 20

// page is rows of one collection as one batch, however many batches it came in.
type page struct {
	b    []byte
	head int // bytes of the column names

	// What index found out.
	columns []string
	keyAt   int         // the key's place among the columns
	rows    int64       //
	keys    wire.Writer // a batch of the rows' keys alone
	last    []byte      // the last row
}

func (p *page) reset() { *p = page{b: p.b[:0], keys: wire.Writer{B: p.keys.B[:0]}} }

// add appends the rows of a batch. It must have the same columns as the page.
func (p *page) add(b []byte) error {
	r := wire.NewReader(b)
	n, err := r.Array()
	for range n {
		if err == nil {
			err = r.Skip()
		}
	}
	if err != nil {
		return abi.Errorf(abi.Internal, "batch: column names: %w", err)
	}
	if len(p.b) == 0 {
		p.b = append(p.b, b...)
		p.head = r.Offset()
		return nil
	}
	if string(p.b[:p.head]) != string(b[:r.Offset()]) {
		return abi.Errorf(abi.Internal, "batch: the columns changed within one answer")
	}
	p.b = append(p.b, r.Rest()...)
	return nil
}

// each calls row for the rows, one by one, until there is an error.
func (p *page) each(row func(i int64, row []byte) error) error {
	walk, err := wire.OpenBatch(p.b)
	if err != nil {
		return err
	}
	for walk.Next() {
		if err := row(walk.Index(), walk.Row()); err != nil {
			return err
		}
	}
	return walk.Err()
}

// index walks all rows once, skipping over their values.
func (p *page) index(key string) error {
	p.keys.Array(1)
	p.keys.String(key)
	walk, err := wire.OpenBatch(p.b)
	if err != nil {
		return err
	}
	p.columns = walk.Columns
	if p.keyAt = slices.Index(p.columns, key); p.keyAt < 0 {
		return abi.Errorf(abi.UnknownColumn, "the rows have no column %q", key)
	}
	for walk.Next() {
		p.rows++
		p.last = walk.Row()
		p.keys.Array(1)
		p.keys.Raw(walk.Value(p.keyAt))
	}
	return walk.Err()
}

// place returns the place of the last row in the order.
func (p *page) place(orderBy string) ([]any, error) {
	orderAt := slices.Index(p.columns, orderBy)
	if orderAt < 0 {
		return nil, abi.Errorf(abi.UnknownColumn, "the rows have no column %q", orderBy)
	}
	return values(p.last, orderAt, p.keyAt)
}

// column returns the bytes of one value of a row.
func column(row []byte, at int) ([]byte, error) {
	r := wire.NewReader(row)
	n, err := r.Array()
	if err == nil && at >= n {
		err = abi.Errorf(abi.Internal, "row: %d values, but the column is number %d", n, at)
	}
	for range at {
		if err == nil {
			err = r.Skip()
		}
	}
	if err != nil {
		return nil, err
	}
	return r.Raw()
}

// values decodes some values of a row.
func values(row []byte, at ...int) ([]any, error) {
	list := make([]any, len(at))
	for i, c := range at {
		raw, err := column(row, c)
		if err != nil {
			return nil, err
		}
		r := wire.NewReader(raw)
		if list[i], err = r.Value(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// read fills p with the rows of a query, up to pageBytes, and says whether
// there are more. The query is closed when read returns: where a database has
// no write-ahead log, an open one would hold off the delete that follows.
func (m *mover) read(p *page, q abi.Query) (more bool, err error) {
	p.reset()
	q.Collection = m.opt.collection
	rows, err := m.task.Data.Batches(q, m.buf)
	if err != nil {
		return false, err
	}
	for {
		b, err := rows.NextBatch()
		if err != nil || b == nil {
			return false, err
		}
		if cap(m.buf) < len(b) {
			m.buf = b // a row that was larger than the buffer; the next may be, too
		}
		if err := p.add(b); err != nil {
			_ = rows.Close()
			return false, err
		}
		if q.Lookup == nil && len(p.b) >= pageBytes {
			return true, rows.Close()
		}
	}
}

// filter returns the rows that are wanted as a page of their own.
func (p *page) filter(want func(i int64, row []byte) bool) (*page, error) {
	out := &page{b: slices.Clone(p.b[:p.head]), head: p.head}
	err := p.each(func(i int64, row []byte) error {
		if want(i, row) {
			out.b = append(out.b, row...)
		}
		return nil
	})
	if err == nil {
		err = out.index(p.columns[p.keyAt])
	}
	return out, err
}

// pick returns the rows with these indices, which ascend.
func (p *page) pick(indices []int64) (*page, error) {
	return p.filter(func(i int64, _ []byte) bool {
		_, ok := slices.BinarySearch(indices, i)
		return ok
	})
}
