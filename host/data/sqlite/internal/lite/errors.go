package lite

import (
	"strconv"

	sqlite3 "modernc.org/sqlite/lib"
)

// Error is a result code of SQLite other than success.
//
// See https://www.sqlite.org/rescode.html.
type Error struct {
	Code int32  // extended
	Text string // SQLite's own, for people; names tables and columns, never the file
}

// Error returns the text and the code.
func (e *Error) Error() string { return e.Text + " (" + strconv.Itoa(int(e.Code)) + ")" }

// Primary returns the primary result code.
func (e *Error) Primary() int32 { return e.Code & 0xff }

// check makes an error of a result code.
func (c *Conn) check(rc int32) error {
	if rc == sqlite3.SQLITE_OK {
		return nil
	}
	return c.errorOf(rc)
}

func (c *Conn) errorOf(rc int32) error {
	text := goString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	// The connection's own text says more, if it is about this failure.
	if c.db != 0 && sqlite3.Xsqlite3_extended_errcode(c.tls, c.db) == rc {
		text = goString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	return &Error{Code: rc, Text: text}
}
