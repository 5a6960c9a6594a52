package lite

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Rights say what a statement may do. SQLite asks while it prepares the
// statement. It is not asked about what is prepared while a statement runs: the
// statements of virtual tables, and the same text once more after a change of
// the schema. A nil *Rights may do everything.
//
// See https://www.sqlite.org/c3ref/set_authorizer.html.
type Rights struct {
	ID    string // equal for equal rights: Cached keeps statements apart by it
	Allow func(Use) bool
}

// Use is one thing that a statement would do.
type Use struct {
	Action int32  // SQLITE_READ and so on
	Name   string // mostly a table
	Detail string // mostly a column
	Within string // the innermost view or trigger that wants it; empty for the statement itself
}

// authorize makes SQLite ask c.rights.
func (c *Conn) authorize() error {
	// What SQLite keeps is the address of a function value of Go's heap. Go
	// does not move it, and c keeps it alive.
	c.authorizer = func(_ *libc.TLS, _ uintptr, action int32, name, detail, _, within uintptr) int32 {
		if c.rights == nil || c.rights.Allow(Use{Action: action, Name: goString(name), Detail: goString(detail), Within: goString(within)}) {
			return sqlite3.SQLITE_OK
		}
		return sqlite3.SQLITE_DENY
	}
	return c.check(sqlite3.Xsqlite3_set_authorizer(c.tls, c.db, *(*uintptr)(unsafe.Pointer(&c.authorizer)), 0))
}
