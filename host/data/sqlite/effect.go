package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// effectsTable is where the markers of transactions are, in the database that
// they changed. It is no collection, whatever is granted. It is made by the
// first transaction that is committed, of parts that every SQLite can read.
const effectsTable = "wasmhost_effects"

const (
	makeEffectsSQL = `CREATE TABLE main.` + effectsTable + ` (task TEXT PRIMARY KEY, at INTEGER NOT NULL, result BLOB, events BLOB)`
	addEffectSQL   = `INSERT INTO main.` + effectsTable + ` (task, at, result, events) VALUES (?, ?, ?, ?)`
	findEffectSQL  = `SELECT at, result, events FROM main.` + effectsTable + ` WHERE task = ?`

	// forgets is how many of the oldest markers a commit looks at, in the order
	// in which they were written, to delete those that are too old.
	forgets = 8
)

var forgetEffectsSQL = fmt.Sprintf(`DELETE FROM main.%[1]s WHERE at < ? AND rowid IN (SELECT rowid FROM main.%[1]s ORDER BY rowid LIMIT %[2]d)`,
	effectsTable, forgets)

// Effect implements [data.Transactor].
func (s *Store) Effect(ctx context.Context, key string) (*data.Effect, error) {
	var found *data.Effect
	var used *conn
	err := s.begin(ctx, "looking for the marker", func(conn *conn) error {
		used = conn
		schema, err := s.schemaOf(conn)
		if err != nil || !schema.effects {
			return err
		}
		return conn.each(findEffectSQL, key, func(row *lite.Stmt) {
			found = &data.Effect{
				Key: key, At: time.UnixMilli(row.Column(0).Int()),
				Result: bytes.Clone(row.Column(1).Bytes()), Events: bytes.Clone(row.Column(2).Bytes()),
			}
		})
	})
	if err != nil {
		return nil, err
	}
	s.release(used)
	return found, nil
}

// mark writes the marker of an effect into the transaction that is open.
func (s *Store) mark(w *conn, e *data.Effect) error {
	schema, err := s.schemaOf(w)
	if err != nil {
		return err
	}
	if !schema.effects {
		if err := w.run(makeEffectsSQL); err != nil {
			return err
		}
	}
	if err := w.run(forgetEffectsSQL, e.Forget.UnixMilli()); err != nil {
		return err
	}
	blob := func(b []byte) any {
		if b == nil {
			return nil
		}
		return b
	}
	return w.run(addEffectSQL, e.Key, e.At.UnixMilli(), blob(e.Result), blob(e.Events))
}
