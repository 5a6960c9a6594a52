package demo

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver
)

// collection is the table that the demo archives.
const collection = "chat_messages"

const createTable = `CREATE TABLE chat_messages (
	id TEXT PRIMARY KEY,
	created_at TEXT NOT NULL,
	updated_at TEXT NOT NULL,
	version REAL NOT NULL,
	room_id TEXT,
	sender_id TEXT,
	sender_name TEXT,
	sender_type TEXT,
	content TEXT,
	status TEXT,
	priority TEXT,
	timestamp TEXT,
	edited_at TEXT,
	reactions TEXT,
	thread TEXT,
	reply_to_id TEXT,
	metadata TEXT
)`

const createIndex = `CREATE INDEX chat_messages_timestamp ON chat_messages (timestamp)`

// makeDatabase makes a new database file with so many of the generator's
// messages, in WAL mode as an application would have it.
func makeDatabase(ctx context.Context, name string, rows int, g *generator) (err error) {
	// Nothing is lost with the file until it is complete, so it is written
	// without waiting for the disk.
	db, err := open(name, "rwc", "journal_mode(OFF)", "synchronous(OFF)")
	if err != nil {
		return err
	}
	defer func() {
		if closing := db.Close(); err == nil && closing != nil {
			err = fmt.Errorf("closing %s: %w", name, closing)
		}
	}()
	if _, err := db.ExecContext(ctx, createTable); err != nil {
		return fmt.Errorf("making the table in %s: %w", name, err)
	}
	if err := insert(ctx, db, rows, g); err != nil {
		return fmt.Errorf("filling %s: %w", name, err)
	}
	for _, statement := range []string{createIndex, "PRAGMA journal_mode = WAL"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("finishing %s: %w", name, err)
		}
	}
	return nil
}

// insert adds messages in one transaction.
func insert(ctx context.Context, db *sql.DB, rows int, g *generator) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	cols := columns()
	statement, err := tx.PrepareContext(ctx, "INSERT INTO chat_messages ("+strings.Join(cols, ", ")+") VALUES (?"+strings.Repeat(", ?", len(cols)-1)+")")
	if err != nil {
		return err
	}
	defer statement.Close()
	for range rows {
		m := g.next()
		if _, err := statement.ExecContext(ctx, m.values()...); err != nil {
			return fmt.Errorf("row %s: %w", m.ID, err)
		}
	}
	return tx.Commit()
}

// open opens a database with one connection.
func open(name, mode string, pragmas ...string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", fileURI(name, mode, pragmas...))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// fileURI is how SQLite is told a file and the way to open it, whatever
// characters the name has.
func fileURI(name, mode string, pragmas ...string) string {
	query := url.Values{"mode": {mode}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(name), RawQuery: query.Encode()}).String()
}

// copyFile copies a file that nobody has open.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if closing := out.Close(); err == nil {
			err = closing
		}
	}()
	_, err = io.Copy(out, in)
	return err
}
