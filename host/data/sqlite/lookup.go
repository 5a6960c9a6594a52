package sqlite

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// lookup is the part of a cursor that goes through a batch and finds the row
// for each row of it.
type lookup struct {
	batch  wire.Batch
	binder binder
	key    []int
	unique bool // the key has all of the primary key
	found  bool // st is at a row
}

func (c *cursor) startLookup(conn *conn, q *abi.Query) error {
	// The caller's memory may be a guest's, which goes on.
	batch, err := wire.OpenBatch(bytes.Clone(q.Lookup))
	if err != nil {
		return prefix(err, "query: lookup")
	}
	key, err := c.table.keyOr(q.Key, c.table.rights.Read, "read")
	if err != nil {
		return err
	}
	l := &lookup{batch: batch, key: key, unique: len(c.table.key) > 0}
	for _, k := range c.table.key {
		l.unique = l.unique && slices.Contains(key, k)
	}
	w := &query{}
	w.add("SELECT ")
	if c.names, err = w.columns(c.table, q.Columns); err != nil {
		return err
	}
	w.add(" FROM main.", c.table.quoted)
	// No bytes at all are a batch without columns: there is nothing to find.
	if l.binder, err = newBinder(batch.Columns); err != nil {
		return prefix(err, "query: lookup")
	}
	if len(q.Lookup) > 0 {
		for _, k := range key {
			n, err := l.binder.param(c.table.columns[k].name)
			if err != nil {
				return prefix(err, "query: lookup: key")
			}
			w.term()
			w.add(c.table.columns[k].qualified, " = ?", strconv.Itoa(n))
		}
	}
	w.within(c.table)
	if err = c.prepare(conn, w.sql.String(), c.table.reading()); err != nil {
		return err
	}
	c.lookup = l
	return nil
}

// step moves to the row for the next row of the batch that has one.
func (l *lookup) step(c *cursor) (bool, error) {
	if l.found && !l.unique {
		more, err := c.st.Step()
		if err != nil {
			return false, err
		}
		if more {
			return false, abi.Errorf(abi.Conflict, "query: lookup: row %d%s: the key finds more than one row of %q",
				l.batch.Index(), keyed(batchKey(c.table.table, l.key, l.batch.Columns, l.batch.Row())), c.table.name)
		}
	}
	l.found = false
	c.st.Reset()
	for l.batch.Next() {
		// A find takes fewer steps than lie between two looks at the flag.
		if c.conn.Stopped() {
			return false, errInterrupted
		}
		if err := l.binder.bind(c.st, l.batch.Row()); err != nil {
			return false, prefix(c.store.failure(context.Background(), c.table.discreet(err)), "query: lookup: row %d", l.batch.Index())
		}
		var err error
		if l.found, err = c.st.Step(); err != nil || l.found {
			return l.found, err
		}
		c.st.Reset()
	}
	return false, l.batch.Err()
}
