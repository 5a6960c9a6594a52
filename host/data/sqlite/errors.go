package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

var (
	errClosed   = abi.Errorf(abi.Unavailable, "the database was closed")
	errReadOnly = abi.Errorf(abi.ReadOnly, "the database is served for reading only")

	// errInterrupted is what SQLite says when a step was interrupted, for
	// interrupts that hit none.
	errInterrupted = &lite.Error{Code: sqlite3.SQLITE_INTERRUPT, Text: "interrupted"}
)

// codes translates primary result codes; others are defects of the host.
var codes = map[int32]abi.Code{
	sqlite3.SQLITE_BUSY:       abi.Unavailable,
	sqlite3.SQLITE_LOCKED:     abi.Unavailable,
	sqlite3.SQLITE_PROTOCOL:   abi.Unavailable,
	sqlite3.SQLITE_CANTOPEN:   abi.Unavailable,
	sqlite3.SQLITE_PERM:       abi.Unavailable,
	sqlite3.SQLITE_IOERR:      abi.Unavailable,
	sqlite3.SQLITE_NOMEM:      abi.Unavailable,
	sqlite3.SQLITE_SCHEMA:     abi.Unavailable,
	sqlite3.SQLITE_READONLY:   abi.ReadOnly,
	sqlite3.SQLITE_CORRUPT:    abi.Corrupt,
	sqlite3.SQLITE_NOTADB:     abi.Corrupt,
	sqlite3.SQLITE_FULL:       abi.Full,
	sqlite3.SQLITE_CONSTRAINT: abi.Conflict,
	sqlite3.SQLITE_MISMATCH:   abi.Conflict, // of a value with an INTEGER PRIMARY KEY
	sqlite3.SQLITE_TOOBIG:     abi.LimitExceeded,
}

// codeOf translates an error of package lite.
func codeOf(err error) abi.Code {
	var e *lite.Error
	if !errors.As(err, &e) {
		return abi.CodeOf(err)
	}
	if e.Code == sqlite3.SQLITE_IOERR_CORRUPTFS {
		return abi.Corrupt
	}
	if code, ok := codes[e.Primary()]; ok {
		return code
	}
	return abi.Internal
}

func isPrimary(err error, code int32) bool {
	var e *lite.Error
	return errors.As(err, &e) && e.Primary() == code
}

// isInterrupt says whether err is that of an interrupt. It comes as a plain
// error out of a virtual table, which is where the schema is read from.
func isInterrupt(err error) bool {
	var e *lite.Error
	return errors.As(err, &e) && (e.Primary() == sqlite3.SQLITE_INTERRUPT || e.Code == sqlite3.SQLITE_ERROR && e.Text == errInterrupted.Text)
}

// failure makes an abi.Error of what a call on a connection failed with.
// Interruption has no reason of its own: it is ctx that ended, or the store
// that was closed. A lock not got because ctx ended shows as SQLITE_BUSY.
func (s *Store) failure(ctx context.Context, err error) error {
	var known *abi.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	interrupted := isInterrupt(err)
	busy := isPrimary(err, sqlite3.SQLITE_BUSY)
	switch ended := ctx.Err(); {
	case ended != nil && busy:
		return abi.Errorf(abi.CodeOf(ended), "waited for a lock of another connection: %w", ended)
	case ended != nil && interrupted:
		return abi.Errorf(abi.CodeOf(ended), "%w", ended)
	case s.isClosed() && (interrupted || busy):
		return errClosed
	case busy:
		return abi.Errorf(abi.Unavailable, "another connection had the database locked for %v: %w", s.cfg.BusyTimeout, err)
	}
	if code := codeOf(err); code != abi.Corrupt {
		return abi.Errorf(code, "%w", err)
	}
	// Of a schema that cannot be read SQLite names the part, to whoever comes first.
	text, _, _ := strings.Cut(err.Error(), " (")
	return abi.Errorf(abi.Corrupt, "%s", text)
}

// prefix says in front of an error what it is about.
func prefix(err error, format string, args ...any) error {
	return abi.Errorf(abi.CodeOf(err), "%s: %s", fmt.Sprintf(format, args...), abi.MessageOf(err))
}
