package ai

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/command"
)

// total is the bytes of all results up to this one, of those that are gone too:
// so what is too much is found without adding up.
const recordsSchema = `
CREATE TABLE IF NOT EXISTS ai_results (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	call   TEXT NOT NULL,    -- which call of which task
	digest TEXT NOT NULL,    -- of what it asked; '' if it has a key of its own
	worker TEXT NOT NULL,
	made   INTEGER NOT NULL, -- Unix milliseconds
	total  INTEGER NOT NULL,
	result BLOB NOT NULL,    -- a msgpack map
	UNIQUE (call, digest)
) STRICT`

const (
	// DefaultMaxBytes is what records take at most.
	DefaultMaxBytes = 256 << 20

	// sweepRecords is how many of the oldest one new record looks at.
	sweepRecords = 100
)

// RecordsConfig bounds what is kept.
type RecordsConfig struct {
	Keep     time.Duration // how long at most
	MaxBytes int64         // 0 for DefaultMaxBytes
}

// Records are the answers that were paid for, in the host's database. What is
// older than Keep is deleted, and the oldest when all but it are as large as MaxBytes: a
// task that comes again after that is paid for again. It is safe for concurrent
// use.
type Records struct {
	db       *sql.DB
	keep     time.Duration
	maxBytes int64
	now      func() time.Time
}

// OpenRecords prepares the database, which stays the caller's.
func OpenRecords(ctx context.Context, db *sql.DB, c RecordsConfig) (*Records, error) {
	if _, err := db.ExecContext(ctx, recordsSchema); err != nil {
		return nil, command.DBError("preparing the record of answers", err)
	}
	r := &Records{db: db, keep: c.Keep, maxBytes: c.MaxBytes, now: time.Now}
	if r.maxBytes == 0 {
		r.maxBytes = DefaultMaxBytes
	}
	return r, nil
}

// find returns what is on record for a call, nil for nothing.
func (r *Records) find(ctx context.Context, id identity) (map[string]any, error) {
	if id.call == "" {
		return nil, nil
	}
	var b []byte
	err := r.db.QueryRowContext(ctx, `SELECT result FROM ai_results WHERE call = ? AND digest = ? AND made >= ?`,
		id.call, id.digest, r.now().Add(-r.keep).UnixMilli()).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, command.DBError("looking for an answer on record", err)
	}
	rd := wire.NewReader(b)
	v, err := rd.Value()
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, abi.Errorf(abi.Corrupt, "an answer on record is no map: %v", err)
	}
	return m, nil
}

// add puts a result on record. It is on disk when add returns.
func (r *Records) add(ctx context.Context, id identity, worker string, result map[string]any) error {
	if id.call == "" {
		return nil
	}
	var w wire.Writer
	if err := w.Value(result); err != nil {
		return abi.Errorf(abi.Internal, "recording an answer: %w", err)
	}
	if err := r.write(ctx, id, worker, w.B); err != nil {
		return command.DBError("recording an answer", err)
	}
	return nil
}

func (r *Records) write(ctx context.Context, id identity, worker string, result []byte) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	var total int64
	err = tx.QueryRowContext(ctx, `SELECT total FROM ai_results ORDER BY id DESC LIMIT 1`).Scan(&total)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	total += int64(len(result))
	now := r.now()
	if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO ai_results (call, digest, worker, made, total, result) VALUES (?, ?, ?, ?, ?, ?)`,
		id.call, id.digest, worker, now.UnixMilli(), total, result); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM ai_results WHERE id IN
		(SELECT id FROM (SELECT id, made, total FROM ai_results ORDER BY id LIMIT ?) WHERE made < ? OR total <= ?)`,
		sweepRecords, now.Add(-r.keep).UnixMilli(), total-r.maxBytes); err != nil {
		return err
	}
	return tx.Commit()
}
