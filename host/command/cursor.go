package command

import (
	"context"
	"database/sql"
	"errors"
)

// cursorsSchema is for readers of the log that go on where they were.
const cursorsSchema = `
CREATE TABLE IF NOT EXISTS event_cursors (
	reader TEXT PRIMARY KEY,
	event  INTEGER NOT NULL -- id of the last one that was dealt with
) STRICT, WITHOUT ROWID`

// Cursor returns how far a reader has come, and whether it was ever here.
func (l *Events) Cursor(ctx context.Context, reader string) (id int64, known bool, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT event FROM event_cursors WHERE reader = ?`, reader).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, DBError("reading a cursor", err)
	}
	return id, true, nil
}

// SetCursor notes how far a reader has come. It is on disk when it returns.
func (l *Events) SetCursor(ctx context.Context, reader string, id int64) error {
	_, err := l.db.ExecContext(ctx, `INSERT INTO event_cursors (reader, event) VALUES (?, ?)
		ON CONFLICT (reader) DO UPDATE SET event = excluded.event`, reader, id)
	if err != nil {
		return DBError("writing a cursor", err)
	}
	return nil
}
