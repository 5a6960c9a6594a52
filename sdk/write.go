package sdk

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// InsertRows adds rows. One that exists is an [abi.Conflict], and none is added.
func (d *Data) InsertRows(handle, collection string, rows *Batch) (abi.WriteResult, error) {
	return d.writeBatch(handle, collection, abi.Insert, rows, nil)
}

// InsertNewRows adds the rows whose key does not exist yet. The key is the
// primary key unless columns are named, here and below.
func (d *Data) InsertNewRows(handle, collection string, rows *Batch, key ...string) (abi.WriteResult, error) {
	return d.writeBatch(handle, collection, abi.InsertNew, rows, key)
}

// UpsertRows adds rows, and gives the new values to those that exist.
func (d *Data) UpsertRows(handle, collection string, rows *Batch, key ...string) (abi.WriteResult, error) {
	return d.writeBatch(handle, collection, abi.Upsert, rows, key)
}

// UpdateRows sets the columns of the batch, other than the key, in the rows
// that exist.
func (d *Data) UpdateRows(handle, collection string, rows *Batch, key ...string) (abi.WriteResult, error) {
	return d.writeBatch(handle, collection, abi.Update, rows, key)
}

// DeleteRows deletes the rows with the batch's keys.
func (d *Data) DeleteRows(handle, collection string, rows *Batch, key ...string) (abi.WriteResult, error) {
	return d.writeBatch(handle, collection, abi.Delete, rows, key)
}

func (d *Data) writeBatch(handle, collection string, verb abi.Verb, rows *Batch, key []string) (abi.WriteResult, error) {
	b, err := rows.Bytes()
	if err != nil {
		return abi.WriteResult{}, err
	}
	return d.Write(abi.Mutation{Handle: handle, Collection: collection, Verb: verb, Key: key}, b)
}

// Write does one mutation with the rows of a batch, which may be one that
// [Batches] returned. It is durable when Write returns, and either all of it
// is done or nothing. Mutation.Size is ignored.
func (d *Data) Write(m abi.Mutation, batch []byte) (abi.WriteResult, error) {
	m.Size = 0
	results, err := d.write(batch, m)
	if err != nil {
		return abi.WriteResult{}, err
	}
	return results[0], nil
}

// Change is one of several mutations, with its batch.
type Change struct {
	abi.Mutation
	Batch []byte
}

// WriteAll does several mutations on one handle in one transaction: all of
// them or none. The results are in the order of the changes.
func (d *Data) WriteAll(changes ...Change) ([]abi.WriteResult, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	ms := make([]abi.Mutation, len(changes))
	rows := d.port.rows[:0]
	for i, c := range changes {
		if len(c.Batch) == 0 {
			// A size of 0 would stand for all the bytes that are left.
			return nil, abi.Errorf(abi.InvalidArgument, "change %d of %s.%s has no batch", i, c.Handle, c.Collection)
		}
		ms[i] = c.Mutation
		ms[i].Size = int64(len(c.Batch))
		rows = append(rows, c.Batch...)
	}
	d.port.rows = rows
	return d.write(rows, ms...)
}

func (d *Data) write(rows []byte, ms ...abi.Mutation) ([]abi.WriteResult, error) {
	p := d.port
	w := wire.Writer{B: p.req[:0]}
	w.Mutations(ms...)
	p.req = w.B
	b, err := p.answeredShared(abi.ImportRowsWrite, p.host.RowsWrite(w.B, rows, p.buffer()))
	if err != nil {
		return nil, err
	}
	results, err := wire.ReadWriteResults(b)
	if err != nil {
		return nil, abi.Errorf(abi.Internal, "rows_write: the host's answer: %w", err)
	}
	if len(results) != len(ms) {
		return nil, abi.Errorf(abi.Internal, "rows_write: the host answered %d results for %d mutations", len(results), len(ms))
	}
	return results, nil
}
