package queue

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// progressTable has no foreign key to River's table: River's migrations rename
// and rebuild that table, and a reference would follow the old one.
const progressTable = `
CREATE TABLE IF NOT EXISTS task_progress (
	task_id INTEGER PRIMARY KEY,
	done    INTEGER NOT NULL,
	total   INTEGER NOT NULL
) STRICT`

// migrate brings River's tables and ours up to date.
//
// River reads which migrations are applied outside of the transactions that
// apply them, so of two processes that meet a new database one fails. Each
// migration is one transaction, so the loser only has to look again.
func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	m, err := rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Logger: log})
	if err != nil {
		return dbError("preparing the queue's tables", err)
	}
	want := len(m.AllVersions())
	const pause, patience = 25 * time.Millisecond, 15 * time.Second
	for deadline := time.Now().Add(patience); ; {
		have, err := m.ExistingVersions(ctx)
		if err != nil {
			return dbError("reading the queue's version", err)
		}
		if len(have) >= want {
			break
		}
		if _, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil); err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil || !raced(err) {
			return dbError("preparing the queue's tables", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	for _, table := range []string{progressTable, dueTable} {
		if _, err := db.ExecContext(ctx, table); err != nil {
			return dbError("preparing the queue's tables", err)
		}
	}
	return nil
}
